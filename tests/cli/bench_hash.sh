#!/bin/sh
# rq-bench hash: one value for any number of threads, and after a stop at any step.
set -eu
fail() {
    echo "$*"
    exit 1
}
mkdir -p in/a in/b
# Pictures without a codec: binary PPM of different sizes and contents.
ppm() { # file, width, height, seed
    { printf 'P6\n%d %d\n255\n' "$2" "$3"
      awk -v n=$(($2 * $3 * 3)) -v s="$4" \
          'BEGIN { for (i = 0; i < n; i++) printf "%c", 33 + (i * (s + 3) + int(i / 97) * s) % 90 }'
    } >"$1"
}
i=0
while [ $i -lt 14 ]; do
    c=a
    [ $((i % 2)) = 0 ] || c=b
    ppm in/$c/p$i.ppm $((40 + i)) $((50 - i)) $i
    i=$((i + 1))
done
rq-pack build in -o D --encode ppm -q
opts="--batch 4 --large-size 32 --small-size 16 --p-mask 0 --no-drop-last"

want=$(rq-bench hash D $opts --batches 8 --threads 1)
case $want in
????????????????????????????????????????????????????????????????"  8 batches") ;;
*) fail "unexpected output: $want" ;;
esac
for t in 2 3 7; do
    got=$(rq-bench hash D $opts --batches 8 --threads $t)
    [ "$got" = "$want" ] || fail "$t threads: $got, not $want"
done
[ "$(rq-bench hash D $opts --batches 8 --cpu-mask c)" = "$want" ] || fail "other bytes with --cpu-mask c"
other=$(rq-bench hash D $opts --batches 8 --seed 6)
[ "$other" != "$want" ] || fail "the seed changes nothing"

# 14 images in batches of 4: steps 0 to 3. Every suffix equals the tail of the whole.
rq-bench hash D $opts --batches 8 --each | head -8 >whole
n=0
while [ $n -lt 8 ]; do
    rq-bench hash D $opts --batches $((8 - n)) --each --start-epoch $((n / 4)) \
        --start-step $((n % 4)) | head -$((8 - n)) >part
    tail -$((8 - n)) whole >tail
    cmp part tail || fail "resumed at batch $n: other bytes"
    n=$((n + 1))
done
grep -q 'epoch 1 step 3$' whole || fail "positions are not printed"

rq-bench hash D $opts --batches 8 --json | grep -q '^{"sha256":"[0-9a-f]\{64\}","batches":8}$' ||
    fail "no JSON"
