#!/bin/sh
# rq-ingest from end to end on pictures made here: scan, report and verify, the exit code of each
# outcome, and everything that can be wrong with a call.
set -u
failed=0
fail() { echo "FAIL: $*"; failed=1; }

# expect CODE WORDS COMMAND...: exit code, and words on stdout or stderr.
expect() {
    code=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = "$code" ] || fail "'$*' gave $rc, not $code: $(cat out.txt err.txt)"
    grep -qF -- "$words" out.txt err.txt || fail "'$*' does not say '$words': $(cat out.txt err.txt)"
}
says() { grep -qF -- "$2" "$1" || fail "$1 does not hold '$2': $(cat "$1")"; }
# Binary PPM: name, width, height, byte to fill with.
ppm() { mkdir -p "$(dirname "$1")"; { printf 'P6\n%d %d\n255\n' "$2" "$3"; head -c $(($2 * $3 * 3)) /dev/zero | tr '\0' "$4"; } >"$1"; }

ppm src/ant/one.ppm 50 40 a
ppm src/ant/two.ppm 30 30 b
ppm 'src/bee/<b>&"three.ppm' 70 20 c
cp src/ant/two.ppm src/bee/copy.ppm

# a clean source: exit 0, the line, the report under its name
expect 0 '4 images · 2 classes · 4 ok · 0 fixed · 0 rejected · 1 duplicate (1 in another class)' \
    rq-ingest scan src
says out.txt 'report written to ingest-report.jsonl'
[ "$(wc -l <ingest-report.jsonl)" = 5 ] || fail "lines: $(cat ingest-report.jsonl)"
grep '"name":"bee/copy.ppm"' ingest-report.jsonl >line
says line '"class":"bee","label":1,"bytes":2713,"codec":"PNM","width":30,"height":30,"components":3,"colour":"RGB"'
says line '"duplicate_of":"ant/two.ppm","duplicate_label":0,"kept":true,"verdict":"ok","status":"OK","reason":""'
tail -1 ingest-report.jsonl >line
says line '{"end":true,"images":4,"classes":2,'

# nothing unusual and nothing wanted: no file at all
mkdir quiet
expect 0 '4 images' sh -c 'cd quiet && rq-ingest scan ../src --report none --dedup off'
[ -z "$(ls -A quiet)" ] || fail "files nobody asked for: $(ls -A quiet)"

# quirks and rejected images: exit 1, each named with its reason
: >src/ant/empty.jpg
echo 'some text' >src/ant/text.jpg
printf 'P6\n9 9\n255\nshort' >src/ant/short.ppm
cp src/ant/one.ppm src/ant/zebra.jpg
expect 1 '8 images · 2 classes · 4 ok · 1 fixed · 3 rejected · 2 duplicates' \
    rq-ingest scan src --report full.jsonl --html page.html
for name in empty.jpg text.jpg short.ppm; do
    grep -F "ant/$name" full.jsonl | grep -q '"kept":false,"verdict":"rejected"' || fail "$name in the report"
    says err.txt "ant/$name"
    says page.html "ant/$name"
done
says full.jsonl 'the name says another format than the content'
says page.html 'the file is empty'
says page.html '<img alt="" width="50" height="40" src="data:image/jpeg;base64,'
says page.html 'bee/copy.ppm'
! grep -qE '(src|href)="?(http|//|/)|<b>&' page.html || fail "the page loads something or holds a name as it is"
rq-ingest scan src --dedup drop --report drop.jsonl >out.txt 2>err.txt
says out.txt '2 duplicates (1 in another class) · 2 dropped'
[ "$(grep -c '"kept":false,"verdict":"[of]' drop.jsonl)" = 2 ] || fail "dropped: $(cat drop.jsonl)"

# the same bytes at any number of threads, also of the page
for threads in 1 2 7; do
    rq-ingest scan src -q --threads $threads --report t$threads.jsonl --html t$threads.html >/dev/null 2>&1
    cmp t1.jsonl t$threads.jsonl && cmp t1.html t$threads.html || fail "$threads threads"
done

rq-ingest scan src --json >out.json 2>err.txt
says out.json '"images": 8, "classes": 2, '
says out.json '"rejected": 3'
says err.txt '8 images'

# report: from the file alone, and with pictures from the source
expect 0 '8 images · 2 classes · 4 ok · 1 fixed · 3 rejected' rq-ingest report full.jsonl
says out.txt '1  the name says another format than the content'
expect 0 'page written' rq-ingest report full.jsonl --html bare.html
! grep -q 'data:image' bare.html || fail "pictures without a source"
expect 0 'page written' rq-ingest report full.jsonl src --html again.html
cmp page.html again.html || fail "the page of scan and of report differ"
sed 's/"width":50/"width":51/' full.jsonl >changed.jsonl
expect 4 'does not match its hash' rq-ingest report changed.jsonl
head -3 full.jsonl >cut.jsonl
expect 4 'has no last line' rq-ingest report cut.jsonl
expect 4 'line 1' rq-ingest report src/ant/one.ppm
expect 3 'missing.jsonl' rq-ingest report missing.jsonl

# --on-bad stop, and what must not appear then
expect 4 'ant/empty.jpg' rq-ingest scan src --on-bad stop --report stop.jsonl --html stop.html
[ ! -e stop.jsonl ] && [ ! -e stop.html ] || fail "a stopped scan left its outputs"

# an old report stays when the new one cannot be finished
cp full.jsonl old.jsonl
expect 4 'cannot be used' rq-ingest scan src --on-bad stop --report old.jsonl
cmp full.jsonl old.jsonl || fail "an old report was harmed"
[ -z "$(ls -A | grep tmp-)" ] || fail "temporary files: $(ls -A)"

# wrong calls
expect 2 'no source given' rq-ingest scan
expect 2 'dedup' rq-ingest scan src --dedup maybe
expect 2 'exif' rq-ingest scan src --exif turn
expect 2 'threads' rq-ingest scan src --threads 1000
expect 2 'did you mean' rq-ingest scna src
expect 3 'missing' rq-ingest scan missing
expect 3 'no/such' rq-ingest scan src --report no/such/r.jsonl
expect 3 'no/such' rq-ingest scan src --html no/such/p.html
expect 3 'Is a directory' rq-ingest scan src --report src/ant
mkdir nothing
expect 3 'nothing' rq-ingest scan nothing

# nothing that is read is written over, nor one output by the other, whatever it is called
cp full.jsonl kept.jsonl
ln -s full.jsonl link.jsonl
(cd src && tar cf ../src.tar ant bee) || fail "tar"
cp src.tar kept.tar
expect 2 'would be written over' rq-ingest scan src --report same --html same
expect 2 'would be written over' rq-ingest scan src.tar --html src.tar
expect 2 'would be written over' rq-ingest scan src.tar --report ./src.tar
expect 2 'would be written over' rq-ingest report full.jsonl --html link.jsonl
cmp full.jsonl kept.jsonl && cmp src.tar kept.tar || fail "an input was written over"
[ ! -e same ] || fail "a page took the place of the report"

# with -q, JSON is all there is; a page tells which pictures it has not found
rq-ingest scan src --json -q --report none >out.json 2>err.txt
[ ! -s err.txt ] && [ "$(wc -l <out.json)" = 1 ] || fail "-q --json: $(cat out.json err.txt)"
mkdir -p other/ant
cp src/ant/one.ppm other/ant/one.ppm
expect 0 '3 pictures for the page are not in the source' \
    rq-ingest report full.jsonl other --html bare.html

# what a name holds does not reach the terminal
mkdir -p esc/ant
echo text >"$(printf 'esc/ant/a\033[2Jb.jpg')"
expect 1 'ant/a?[2Jb.jpg' rq-ingest scan esc --report none
expect 2 'no report given' rq-ingest report
expect 2 'add --html' rq-ingest report full.jsonl src

# verify: known names, asked checksums, counts
printf abc >ILSVRC2012_img_val.tar
expect 4 'MISMATCH: the official ILSVRC2012_img_val.tar has md5 29b22e2961454d5413ddabcf34fc5622' \
    rq-ingest verify ILSVRC2012_img_val.tar --no-counts
says out.txt '3 bytes, md5 900150983cd24fb0d6963f7d28e17f72'
expect 0 'matches --md5' rq-ingest verify ILSVRC2012_img_val.tar --no-counts --md5 900150983CD24FB0D6963F7D28E17F72
expect 4 'MISMATCH' rq-ingest verify ILSVRC2012_img_val.tar --no-counts --md5 900150983cd24fb0d6963f7d28e17f73
printf abc >other.tar
expect 0 'not one of the official archives' rq-ingest verify other.tar --no-counts
expect 0 '8 images, 2 classes of 2 to 6 images' rq-ingest verify src
expect 4 "MISMATCH: ImageNet's train split has 1,281,167 images, 1000 classes of 732 to 1300" \
    rq-ingest verify src --split train
rq-ingest verify src other.tar --no-counts --json >out.json 2>err.txt || fail "verify --json: $(cat err.txt)"
says out.json '{"path": "other.tar", "official": null, "bytes": 3, "md5": "900150983cd24fb0d6963f7d28e17f72", "mismatch": false}'
says err.txt 'not one of the official archives'
expect 2 '32 hex digits' rq-ingest verify other.tar --md5 xyz
expect 2 'no file' rq-ingest verify src --md5 900150983cd24fb0d6963f7d28e17f72
expect 2 'no-checksum' rq-ingest verify other.tar --no-checksum --md5 900150983cd24fb0d6963f7d28e17f72
# one that cannot be read does not keep the others from being verified
rq-ingest verify missing.tar other.tar --no-counts --json >out.json 2>err.txt
[ $? = 3 ] || fail "verify of a missing and another: $(cat err.txt)"
says out.json '"error": "cannot open '
says out.json '"path": "other.tar", "official": null, "bytes": 3'
expect 2 'no source given' rq-ingest verify
expect 3 'missing.tar' rq-ingest verify missing.tar

# a full disk
if command -v "${CC:-cc}" >/dev/null; then
    shim="$RQ_SOURCE/tests/crash/shim.sh"
    expect 6 'No space left' sh -c ". '$shim'; fault write:1:ENOSPC rq-ingest scan src --report old.jsonl"
    cmp full.jsonl old.jsonl || fail "a full disk harmed the old report"
else
    echo "no compiler for the fault shim: the full disk was not tried"
fi

# A signal ends the scan between two images and leaves nothing under the final names
mkdir -p many/a
i=0
ppm one.ppm 900 900 x
while [ $i -lt 1500 ]; do ln one.ppm many/a/$i.ppm; i=$((i + 1)); done
rq-ingest scan many --threads 1 --report int.jsonl --html int.html >out.txt 2>err.txt &
pid=$!
tries=0
until grep -q 'scanning' err.txt || [ $tries -gt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
kill -TERM $pid
wait $pid
rc=$?
if [ $rc = 0 ]; then
    echo "the scan was done before the signal"
else
    [ $rc = 130 ] || fail "interrupted: exit $rc: $(cat err.txt)"
    grep -q 'interrupted' err.txt || fail "interrupted: $(cat err.txt)"
    [ ! -e int.jsonl ] && [ ! -e int.html ] || fail "an interrupted scan left a report"
fi
[ -z "$(ls -A | grep tmp-)" ] || fail "temporary files: $(ls -A)"

exit $failed
