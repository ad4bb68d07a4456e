#!/bin/sh
# Everything that can be wrong with a call of rq-pack: one clear sentence that names the thing
# and the next step, the right exit code, and no half file under its final name.
set -u
failed=0
fail() { echo "FAIL: $*"; failed=1; }

# expect CODE WORDS COMMAND...: exit code, and words in the message on stderr.
expect() {
    code=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = "$code" ] || fail "'$*' gave $rc, not $code: $(cat err.txt)"
    grep -qF -- "$words" err.txt || fail "'$*' does not say '$words': $(cat err.txt)"
}
nothing_in() { # folder
    [ ! -e "$1/dataset.json" ] || fail "$1/dataset.json exists"
    [ -z "$(find "$1" -name '*.tmp-*' 2>/dev/null)" ] || fail "temporary files: $(find "$1")"
}

mkdir -p src/a src/b
printf 'P6\n2 2\n255\nabcdefghijkl' >src/a/x.ppm
printf 'P5\n2 2\n255\nabcd' >src/b/y.pgm

# usage
expect 2 'source' rq-pack build -o D
expect 2 '-o DIR' rq-pack build src
expect 2 'encode' rq-pack build src -o D --encod raw
expect 2 'encode' rq-pack build src -o D --encode bmp
expect 2 '--quality' rq-pack build src -o D --encode ppm --quality 80
expect 2 'give one of them' rq-pack build src -o D --long 100 --short 50
expect 2 'no part' rq-pack build src -o D --part 3/2
expect 2 'no part' rq-pack build src -o D --part 0/2
expect 2 'no part' rq-pack build src -o D --part 1/2x
expect 2 '--exclude' rq-pack build src -o D --part 1/2 --dedup drop
expect 2 '-o DIR' rq-pack merge A B
expect 2 'name the folders' rq-pack merge
expect 2 'name one' rq-pack repair
expect 2 'level' rq-pack build src -o D --level 99
expect 2 'name' rq-pack build src -o D --name ../x
expect 2 '' rq-pack unknown
expect 2 'PATH#N' rq-pack cat D
expect 2 '-o DIR' rq-pack unpack D
[ ! -e D ] || fail "a usage error made the output folder"

# inputs
expect 3 'missing' rq-pack build missing -o D
expect 3 'missing' rq-pack build src -o D --masks missing
[ ! -e D ] || fail "a missing input made the output folder"
expect 3 'missing' rq-pack verify missing
expect 3 'missing' rq-pack ls missing
mkdir nothing
expect 3 'nothing' rq-pack build nothing -o D
expect 3 'dataset.json' rq-pack stat src

# outputs that cannot be written
expect 3 '/dev/null is a file' rq-pack build src -o /dev/null/x
expect 3 '/proc/' rq-pack build src -o /proc/nothing/x
touch file
expect 3 'file is a file' rq-pack build src -o file
expect 3 'file is a file' rq-pack build src -o file/below

# an existing dataset
rq-pack build src -o D --encode ppm >/dev/null 2>&1 || fail "build"
sha256sum D/* >before
expect 2 '--force' rq-pack build src -o D
sha256sum -c --quiet before || fail "a refused build changed the dataset"
expect 3 'no sample #2' rq-pack cat 'D#2'
expect 3 'no mask' rq-pack cat 'D#0' --mask
expect 2 '--force' sh -c 'rq-pack unpack D -o U && rq-pack unpack D -o U'

# a disk that is full, with and without an old dataset
full="$RQ_SOURCE/tests/crash/shim.sh"
if command -v "${CC:-cc}" >/dev/null; then
    expect 6 'No space left' sh -c ". '$full'; fault write:1:ENOSPC rq-pack build src -o F --encode ppm"
    nothing_in F
    [ -z "$(ls F/*.tar.zst 2>/dev/null)" ] || fail "a shard stands after a full disk"
    expect 6 'No space left' sh -c ". '$full'; fault write:1:ENOSPC rq-pack build src -o D --encode ppm --level 9 --force"
    sha256sum -c --quiet before || fail "a failed replacement changed the dataset"
    # the last bytes of the first shard: its disk space is settled before the old dataset goes
    expect 6 'No space left' sh -c ". '$full'; fault fsync:1:ENOSPC rq-pack build src -o D --encode ppm --level 9 --force"
    sha256sum -c --quiet before || fail "a replacement that could not be flushed changed the dataset"
else
    echo "no compiler for the fault shim: the full disk was not tried"
fi

# a file that may not grow
head -c 3000000 /dev/urandom >noise
mkdir big
{ printf 'P6\n1000 1000\n255\n'; cat noise; } >big/x.ppm
expect 6 'data-000000' sh -c "trap '' XFSZ; ulimit -f 64; exec rq-pack build big -o F --encode ppm"
nothing_in F

# images that cannot be used: exit code 1, named in the report, the rest is packed
mkdir -p bad/a
cp src/a/x.ppm bad/a/good.ppm
: >bad/a/empty.jpg
echo 'some text' >bad/a/text.jpg
printf 'P6\n9 9\n255\nshort' >bad/a/short.ppm
expect 1 'ingest-report.jsonl' rq-pack build bad -o B --encode ppm
grep -q '3 rejected' out.txt || fail "counts: $(cat out.txt)"
for name in empty.jpg text.jpg short.ppm; do
    grep -F "a/$name" B/ingest-report.jsonl | grep -q '"verdict": *"rejected"' || fail "$name is not in the report"
    grep -qF "a/$name" err.txt || fail "$name was not named: $(cat err.txt)"
done
rq-pack verify B --deep >/dev/null 2>&1 || fail "what was packed is not intact"
expect 3 'none of the' sh -c 'rm bad/a/good.ppm; exec rq-pack build bad -o N --encode ppm'
[ ! -e N ] || fail "a build without a usable image made the folder"

# damage
cp -r D X
printf 'Z' | dd of=X/data-000000.tar.zst bs=1 seek=40 conv=notrunc 2>/dev/null
expect 4 'sample 0' rq-pack verify X
expect 4 'rq-pack verify' rq-pack cat 'X#0'
rq-pack cat 'X#1' >other.pgm || fail "the intact sample is lost"
cmp other.pgm src/b/y.pgm || fail "the intact sample changed"
truncate -s 100 X/data-000000.tar.zst
expect 4 'data-000000.tar.zst' rq-pack ls X
cp D/data-000000.tar.zst X/
sed -i 's/"a", "b"/"a", "c"/' X/dataset.json
expect 4 'dataset.json' rq-pack verify X
rm X/dataset.json
expect 3 'did not finish' rq-pack stat X

exit $failed
