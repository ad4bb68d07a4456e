#!/bin/sh
# One source in every encoding: the same bytes at any number of threads, everything intact, the
# same batches where planes are exact, sizes and qualities that do what they say, masks and
# fallbacks counted, and options without effect refused.
set -u
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}
sha() { sed -n 's/.*"manifest_sha256": "\([0-9a-f]*\)".*/\1/p' out.txt; }
field() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" out.txt | head -1; }
build() { # folder, exit code, options...
    dir=$1 want=$2
    shift 2
    rq-pack build in/train -o "$dir" --masks in/masks --json "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = "$want" ] || fail "build $* gave $rc, not $want: $(cat err.txt)"
}

rq-demo pictures --count 18 --val 1 --size 72 -o in --no-oddities -q >/dev/null || fail "no pictures"
avif=avif
rq-pack build in/train -o x --encode avif --dry-run >/dev/null 2>err.txt || avif=

# ---- every encoding ---------------------------------------------------------------------------
for e in jpeg dct ppm raw $avif; do
    build "$e" 0 --encode $e --threads 1
    first=$(sha)
    [ "$(field fallbacks)" = 0 ] || fail "$e: $(field fallbacks) fallbacks"
    [ "$(field masks)" = 18 ] || fail "$e: $(field masks) masks"
    build "$e-3" 0 --encode $e --threads 3
    [ "$(sha)" = "$first" ] || fail "$e: 3 threads give other bytes"
    rq-pack verify "$e" --deep >out.txt 2>&1 || fail "$e: $(cat out.txt)"
done

# ---- batches ----------------------------------------------------------------------------------
views="--batch 6 --large-size 40 --small-size 24 --batches 6 --threads 2"
for e in jpeg dct ppm raw $avif; do
    rq-bench hash "$e" $views >"$e.hash" || fail "no batches from $e"
done
cmp -s jpeg.hash raw.hash || fail "raw planes give other batches than the JPEGs"
cmp -s jpeg.hash ppm.hash && fail "RGB pixels cannot give the batches of 4:2:0 planes"

# ---- smaller, anew ----------------------------------------------------------------------------
stored() { # sum of the stored bytes of a dataset
    cat "$1"/*.tar.zst | wc -c
}
for e in jpeg dct ppm raw $avif; do
    build "small-$e" 0 --encode $e --long 36 --threads 2
    rq-pack verify "small-$e" --deep >out.txt 2>&1 || fail "small $e: $(cat out.txt)"
    rq-pack ls "small-$e" | grep -q '36x36' || fail "small $e: $(rq-pack ls "small-$e" | head -2)"
    rq-pack ls "small-$e" | grep -q '72x72' && fail "$e keeps large pictures"
    [ "$(stored "small-$e")" -lt "$(stored "$e")" ] || fail "small $e is not smaller"
done
build up 0 --encode jpeg --short 500
cmp -s up/data-000000.tar.zst jpeg/data-000000.tar.zst || fail "--short 500 touched small pictures"
build q20 0 --encode dct --quality 20
build q95 0 --encode dct --quality 95
[ "$(stored q20)" -lt "$(stored q95)" ] || fail "quality 20 is not smaller than 95"
build c444 0 --encode dct --quality 95 --chroma 444
[ "$(stored q95)" -lt "$(stored c444)" ] || fail "4:2:0 is not smaller than 4:4:4"

# ---- fallbacks --------------------------------------------------------------------------------
mkdir -p mixed/a
cp in/train/bars/*.jpg mixed/a/ 2>/dev/null || cp "$(find in/train -name '*.jpg' | head -1)" mixed/a/
cp "$(find in/masks -name '*.png' | head -1)" mixed/a/grey.png
rq-pack build mixed -o mixed-dct --encode dct --json >out.txt 2>err.txt || fail "$(cat err.txt)"
[ "$(field fallbacks)" = 1 ] || fail "a PNG as dct: $(cat out.txt)"
rq-pack ls mixed-dct | grep -q 'raw' || fail "$(rq-pack ls mixed-dct)"
rq-pack build mixed -o mixed-jpeg --encode jpeg --json >out.txt 2>err.txt || fail "$(cat err.txt)"
[ "$(field fallbacks)" = 1 ] || fail "a PNG as jpeg: $(cat out.txt)"
rq-pack build mixed -o mixed-90 --encode dct --quality 90 --json >out.txt 2>err.txt ||
    fail "$(cat err.txt)"
[ "$(field fallbacks)" = 0 ] || fail "with a quality nothing falls back: $(cat out.txt)"

# ---- refusals ---------------------------------------------------------------------------------
refuse() { # words, options...
    words=$1
    shift
    rq-pack build in/train -o never "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = 2 ] || fail "build $* gave $rc, not 2"
    grep -qF -- "$words" err.txt || fail "build $* does not say '$words': $(cat err.txt)"
    [ ! -e never ] || fail "build $* wrote something"
}
refuse "give one of them" --long 9 --short 9
refuse "no meaning for \`raw\`" --encode raw --quality 90
refuse "no meaning for \`ppm\`" --encode ppm --long 9 --chroma 420
refuse "encoded anew" --encode dct --chroma 420
refuse "--quality" --quality 101
refuse "--speed" --encode avif --speed 11

exit $failed
