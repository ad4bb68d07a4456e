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
