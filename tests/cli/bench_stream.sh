#!/bin/sh
# rq-bench stream: the table, the JSON, and one clear sentence with the right code for each mistake.
set -eu
fail() {
    echo "$*"
    exit 1
}
expect() { # code, text, command...
    code=$1 text=$2
    shift 2
    rc=0
    "$@" >out 2>err || rc=$?
    [ $rc = "$code" ] || fail "$*: exit $rc, expected $code: $(cat err)"
    grep -q -e "$text" err || fail "$*: '$text' is not in: $(cat err)"
}
mkdir -p in/a
i=0
while [ $i -lt 6 ]; do
    { printf 'P6\n20 20\n255\n'; head -c 1200 /dev/zero | tr '\0' "$i"; } >in/a/p$i.ppm
    i=$((i + 1))
done
rq-pack build in -o D --encode ppm -q

small="--batch 2 --large-size 16 --small-size 8 --threads 2"
rq-bench stream D $small --p-mask 0 --batches 40 >table
for word in 'recipe *relicv2: 4 x 16 px' 'images .*/s' 'views .*/s' decode 'consumer waited' memory; do
    grep -q "$word" table || fail "'$word' is not in the table"
done
rq-bench stream D $small --recipe linear --batches 40 --json >json
grep -q '"recipe":"linear".*"images_per_s":[0-9.]*.*"decode_ms"' json || fail "JSON: $(cat json)"

expect 2 'have no mask' rq-bench stream D $small --batches 4
expect 2 'do not fill one batch' rq-bench stream D --p-mask 0 --batch 64
expect 2 'p_mask\|p-mask' rq-bench stream D --p-mask 2
expect 2 'batch' rq-bench stream D --bach 4
expect 2 'one dataset' rq-bench stream
expect 3 'nowhere' rq-bench stream nowhere
expect 2 'cpu\|level\|sse' rq-bench stream D --cpu-mask sse
