#!/bin/sh
# Everything that can be wrong with a call of rq-train or rq-eval: one clear sentence that names
# the thing and the next step, and the right exit code.
set -u
export LC_ALL=C
failed=0
fail() { echo "FAIL: $*"; failed=1; }
expect() { # exit code, words on stderr, command
    code=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = "$code" ] || fail "'$*' gave $rc, not $code: $(cat err.txt)"
    grep -qF -- "$words" err.txt || fail "'$*' does not say '$words': $(cat err.txt)"
}

mkdir -p images/a images/b other/a other/z
for n in 1 2 3 4 5 6 7 8; do
    class=$([ $((n % 2)) = 0 ] && echo a || echo b)
    awk -v seed=$n 'BEGIN {srand(seed); printf "P6\n8 8\n255\n"
        for (i = 0; i < 192; i++) printf "%c", 1 + int(rand() * 250)}' >images/$class/$n.ppm
done
cp images/a/2.ppm other/a/ && cp images/b/1.ppm other/z/
rq-pack build images -o data --encode ppm --no-progress >/dev/null || fail "rq-pack build"
rq-pack build other -o other-data --encode ppm --no-progress >/dev/null || fail "rq-pack build"
tiny="--arch resnet18 --stem cifar --base-width 8 --proj-hidden 16 --proj-out 8 --pred-hidden 16
    --large 1 --small 0 --large-size 8 --p-mask 0 --batch 4 --negatives 3 --threads 1"

# usage
expect 2 '--data DIR' rq-train run --out r
expect 2 '--out DIR' rq-train run --data data $tiny
expect 2 'did you mean --preset' rq-train run --presett demo
expect 2 'cifar-rn18' rq-train run --data data --preset cifar
expect 2 'not expected' rq-train run data
expect 2 'negatives' rq-train run --data data --out r $tiny --negatives 4
expect 2 'negatives' rq-train run --data data --out r $tiny --negatives 0
expect 2 'do not fill one batch' rq-train run --data data --out r --arch resnet18 --batch 4000
expect 2 'one large view' rq-train run --data data --out r --large 0
expect 2 'pack both from the same classes' rq-eval knn --raw-pixels --size 8 --fraction 1 --train data --val other-data
expect 2 'pack both from the same classes' rq-train run --data data --val other-data --out r $tiny --steps 1 --eval-every 1
expect 2 '--run DIR' rq-eval knn --train data --val data
expect 2 '--train DIR' rq-eval knn --run r
expect 2 'exclude' rq-eval linear --run r --ckpt c --train data --val data
expect 2 '-o FILE' rq-train export --run r
[ ! -e r ] || fail "a usage error made the run folder"

# inputs and outputs
expect 3 'missing' rq-train run --data missing --out r $tiny
expect 3 'missing' rq-train run --data missing --out r $tiny --json
grep -q '^{"state":"failed",.*}$' out.txt || fail "no JSON line of a failed run: $(cat out.txt)"
expect 3 'missing' rq-eval knn --ckpt missing --train data --val data
expect 3 'no checkpoint' rq-eval knn --run missing --train data --val data
expect 5 'not a safetensors file' rq-train export --ckpt data/dataset.json -o e.safetensors
: >file
expect 3 'file is a file, not a folder' rq-train run --data data --out file/run $tiny --steps 1
[ ! -e e.safetensors ] || fail "a failed export left a file"

# a run that breaks down: named, exit 8, and the last good checkpoint stays alone
rq-train run --data data --out r $tiny --steps 40 --warmup-epochs 0 --lr 1e6 --weight-decay 1 --trust 0 \
    --save-every 1 >out.txt 2>err.txt
rc=$?
if [ $rc = 8 ]; then
    grep -q 'not finite' err.txt || fail "$(cat err.txt)"
    last=$(sed -n 's/^the last good checkpoint is //p' err.txt)
    [ -f "$last" ] || fail "no good checkpoint is named: $(cat err.txt)"
    rq-train export --ckpt "$last" -o e.safetensors >/dev/null || fail "it cannot be read"
    ! grep -q null r/metrics.jsonl || fail "metrics hold what is not finite"
else
    fail "weights that grow without bound gave $rc: $(cat err.txt)"
fi

# check writes nothing
before=$(find . | sort)
rq-train check --data data $tiny >check.txt 2>/dev/null || fail "rq-train check"
grep -q 'memory in all' check.txt || fail "$(cat check.txt)"
grep -q 'one step: loss' check.txt || fail "$(cat check.txt)"
rm check.txt
[ "$before" = "$(find . | sort)" ] || fail "check wrote something"

# the same images on both sides of an evaluation are pointed out
expect 0 'the same images' rq-eval knn --raw-pixels --size 8 --fraction 1 --k 1 --train data --val data

# a damaged sample: named; replaced within the budget, in the online evaluation too
cp -R data torn && chmod -R u+w torn
shard=$(ls torn/*.tar* | head -n 1)
printf 'XXXXXXXX' | dd of="$shard" bs=1 seek=$(($(wc -c <"$shard") / 2)) conv=notrunc 2>/dev/null
expect 4 'sample at place' rq-train run --data torn --out torn-run $tiny --steps 4 --eval-every 1 --k 1
expect 4 '--bad-budget N' rq-train run --data torn --out torn-kept $tiny --steps 4 --save-every 99 --seed 1
[ -f torn-kept/ckpt-00000001.safetensors ] || fail "the step before the damage is lost"
expect 0 'replaced' rq-train run --data torn --out torn-kept $tiny --steps 4 --save-every 99 --seed 1 --bad-budget 9
[ "$(grep -c '"loss"' torn-kept/metrics.jsonl)" = 4 ] || fail "the run did not go on from there"
expect 0 'replaced' rq-train run --data torn --out torn-run $tiny --steps 4 --eval-every 1 --k 1 --bad-budget 9
grep -q '"knn"' torn-run/metrics.jsonl || fail "no online kNN: $(cat torn-run/metrics.jsonl)"
exit $failed
