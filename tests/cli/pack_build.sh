#!/bin/sh
# rq-pack from end to end on pictures made here: build, verify, ls, cat, unpack, stat, and a
# rebuild that gives the same bytes.
set -eu
fail() { echo "FAIL: $*"; exit 1; }

# Binary PPM: name, width, height, byte to fill with.
ppm() { mkdir -p "$(dirname "$1")"; { printf 'P6\n%d %d\n255\n' "$2" "$3"; head -c $(($2 * $3 * 3)) /dev/zero | tr '\0' "$4"; } >"$1"; }
ppm src/ant/one.ppm 5 4 a
ppm src/ant/two.ppm 3 3 b
ppm src/bee/one.ppm 7 2 c
mkdir -p src/empty masks/ant
printf 'P5\n5 4\n255\n01234567890123456789' >masks/ant/one.pgm

rq-pack build src -o D --encode ppm --masks masks >out.txt 2>err.txt || fail "build: $(cat err.txt)"
grep -q '^3 images, 3 classes -> 1 shard' out.txt || fail "summary: $(cat out.txt)"
sum=$(sha256sum D/dataset.json | cut -d' ' -f1)
grep -q "manifest sha256 $sum" out.txt || fail "the manifest's hash is not the one printed"
[ "$(ls -A D | tr '\n' ' ')" = "data-000000.tar.zst dataset.json ingest-report.jsonl " ] || fail "files: $(ls -A D)"
grep -q '"classes": \["ant", "bee", "empty"\]' D/dataset.json || fail "the empty class lost its label"

rq-pack verify D >out.txt
grep -q 'every byte intact' out.txt || fail "verify: $(cat out.txt)"
rq-pack verify D --deep --json >out.json 2>/dev/null
grep -q '"intact": true, "deep": true, "samples": 3' out.json || fail "verify --json: $(cat out.json)"

[ "$(rq-pack ls D | wc -l)" = 4 ] || fail ls
rq-pack ls D -v | grep -q 'ant/one  data-000000.tar.zst@0' || fail "ls -v: $(rq-pack ls D -v)"
rq-pack stat D | grep -q '^masks     1' || fail "stat: $(rq-pack stat D)"
rq-pack stat D --json | grep -q '"ppm": 3' || fail "stat --json"

rq-pack cat 'D#1' >cat.ppm
cmp cat.ppm src/ant/two.ppm || fail "cat by place"
rq-pack cat 'D/data-000000.tar.zst#2' >cat.ppm
cmp cat.ppm src/bee/one.ppm || fail "cat from a shard"
rq-pack cat 'D#0' --mask >cat.pgm
cmp cat.pgm masks/ant/one.pgm || fail "cat --mask"
rq-pack cat 'D#0' --meta | grep -q '"name": "ant/one.ppm"' || fail "cat --meta"

rq-pack unpack D -o U --masks UM >out.txt
diff -r src/ant U/ant || fail "unpack"
cmp UM/ant/one.pgm masks/ant/one.pgm || fail "unpacked mask"
# What was unpacked packs to the same shard again.
mkdir U/empty
rq-pack build U -o D2 --encode ppm --masks UM --threads 1 >/dev/null
cmp D/data-000000.tar.zst D2/data-000000.tar.zst || fail "rebuilt shard differs"
cmp D/dataset.json D2/dataset.json || fail "rebuilt manifest differs"

rq-pack build src -o D3 --dry-run >out.txt
grep -q 'nothing was written' out.txt || fail "dry run: $(cat out.txt)"
[ ! -e D3 ] || fail "the dry run wrote something"

rq-pack build src -o D3 --encode ppm --shard-size 100 --name tiny --json >out.json 2>/dev/null
[ "$(ls D3/tiny-00000?.tar.zst | wc -l)" = 3 ] || fail "--shard-size, --name: $(ls D3)"
grep -q '"shards": 3' out.json || fail "build --json: $(cat out.json)"
rq-pack build src -o D3 --encode ppm --force >/dev/null
[ "$(ls D3/*.tar.zst)" = D3/data-000000.tar.zst ] || fail "--force left old shards: $(ls D3)"

# In parts, at the same time, into one folder; then joined.
for i in 1 2; do rq-pack build src -o P --encode ppm --masks masks --part $i/2 -q >/dev/null & done
wait
rq-pack merge P >out.txt || fail "merge: $(cat out.txt)"
grep -q "^2 parts -> 'P': 3 images, 3 classes, 2 shards" out.txt || fail "merge: $(cat out.txt)"
rq-pack verify P --deep >/dev/null 2>&1 || fail "merged"
rq-pack merge P --json >out.json 2>/dev/null
grep -q '"was_complete": true' out.json || fail "merged twice: $(cat out.json)"
cmp D/ingest-report.jsonl P/ingest-report.jsonl || fail "the merged report differs"
[ "$(rq-pack ls P | cut -c1-60)" = "$(rq-pack ls D | cut -c1-60)" ] || fail "other samples than in one piece"
rm P/data-p001of002*
code=0
rq-pack merge P 2>err.txt || code=$?
[ $code = 3 ] && grep -q 'missing: 1;' err.txt || fail "a missing part: $code, $(cat err.txt)"

# A lost manifest and a lost tail come back whole; a damaged frame costs its sample, exit code 1.
cp -r D R
rm R/dataset.json
truncate -s -70 R/data-000000.tar.zst
rq-pack repair R >out.txt 2>err.txt || fail "repair: $(cat err.txt)"
grep -q '3 samples kept, nothing lost; 1 of 1 shards rebuilt, dataset.json written' out.txt || fail "repair: $(cat out.txt)"
cmp R/data-000000.tar.zst D/data-000000.tar.zst || fail "the repaired shard differs"
printf Z | dd of=R/data-000000.tar.zst bs=1 seek=40 conv=notrunc 2>/dev/null
code=0
rq-pack repair R --json >out.json 2>err.txt || code=$?
[ $code = 1 ] || fail "repair of a damaged frame ended with $code"
grep -q '"intact": false, "samples": 2, "lost": 1, "lost_known": true' out.json || fail "$(cat out.json)"
grep -q 'sample 0' err.txt || fail "the lost sample is not named: $(cat err.txt)"
rq-pack verify R --deep >/dev/null 2>&1 || fail "repaired"
rq-pack cat 'R#0' >cat.ppm
cmp cat.ppm src/ant/two.ppm || fail "the samples that were kept"
rq-pack repair R | grep -q 'intact; nothing was changed' || fail "nothing to repair"

# dct and raw come out as files that everybody reads.
for encoding in dct raw; do
    rq-pack build src -o E --encode $encoding --force -q >/dev/null 2>&1
    rq-pack cat 'E#1' >out.img
    head -c 4 out.img | grep -q PNG || fail "cat of $encoding: $(head -c 20 out.img)"
    rq-pack cat 'E#1' --stored | cmp -s - out.img && fail "--stored is no different for $encoding"
done
exit 0
