#!/bin/sh
# rq-demo: the same seed makes the same files, what is there is not overwritten, and rq-pack
# comes to the verdicts that the odd files are there for.
set -u
failed=0
fail() { echo "FAIL: $*"; failed=1; }
expect() {
    code=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = "$code" ] || fail "'$*' gave $rc, not $code: $(cat err.txt)"
    grep -qF -- "$words" err.txt || fail "'$*' does not say '$words': $(cat err.txt)"
}
make="rq-demo pictures --count 24 --val 8 --size 32"

$make -o a >out.txt 2>err.txt || fail "$(cat err.txt)"
grep -q '^a: 66 files: 24 train and 8 val' out.txt || fail "the result says: $(cat out.txt)"
[ "$(find a -type f | wc -l)" = 66 ] || fail "$(find a -type f | wc -l) files, not 66"
$make -o b -q >/dev/null
diff -r a b >/dev/null || fail "the same seed gives other files"
$make -o c -q --seed 1 >/dev/null
cmp -s a/train/bars/00000.jpg c/train/bars/00000.jpg && fail "another seed gives the same file"
$make -o d -q --no-oddities >/dev/null
[ "$(find d -type f | wc -l)" = 56 ] || fail "--no-oddities left odd files"

rq-pack build a/train -o packed --masks a/masks -q >out.txt 2>err.txt
[ $? = 1 ] || fail "two files have to be rejected: $(cat out.txt err.txt)"
report=packed/ingest-report.jsonl
for want in odd-png.jpg:fixed odd-cmyk.jpg:fixed odd-gray.jpg:ok odd-truncated.jpg:rejected \
    odd-text.jpg:rejected; do
    grep "${want%:*}" $report | grep -q "\"verdict\":\"${want#*:}\"" ||
        fail "not $want: $(grep "${want%:*}" $report)"
done
rq-pack stat packed --json | grep -q '"samples": 27, "classes": 8,.*"masks": 27' ||
    fail "$(rq-pack stat packed --json)"

# refusals
mkdir empty && $make -o empty -q >/dev/null || fail "an empty folder may be filled"
cp a/train/bars/00000.jpg before.jpg
expect 3 'there already' $make -o a --seed 5
cmp -s before.jpg a/train/bars/00000.jpg || fail "a refused run changed the folder"
: >file
expect 3 'file' $make -o file
expect 3 '/proc/no' $make -o /proc/no
expect 2 '-o DIR' rq-demo pictures
expect 2 'size' rq-demo pictures -o x --size 2
expect 2 'nonsense' rq-demo pictures -o x nonsense
[ ! -e x ] || fail "a usage error made the folder"
[ -z "$(find . -name '*.tmp-*')" ] || fail "left behind: $(find . -name '*.tmp-*')"
exit $failed
