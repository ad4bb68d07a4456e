#!/bin/sh
# rq-eval on classes that pixels tell apart: a short run, its yardsticks, both networks, both
# protocols, one answer from any number of threads.
set -u
export LC_ALL=C
fail() { echo "FAIL: $*"; exit 1; }
mkdir -p train/red train/green val/red val/green
for n in $(seq 1 36); do
    class=$([ $((n % 2)) = 0 ] && echo red || echo green)
    part=$([ "$n" -le 24 ] && echo train || echo val)
    awk -v seed="$n" 'BEGIN {srand(seed); printf "P6\n8 8\n255\n"
        for (i = 0; i < 192; i++) printf "%c", 1 + int(rand() * 120 + (i % 3 == seed % 2) * 80)}' \
        >"$part/$class/$n.ppm"
done
rq-pack build train -o t --encode ppm --no-progress >/dev/null || fail "rq-pack build"
rq-pack build val -o v --encode ppm --no-progress >/dev/null || fail "rq-pack build"
rq-train run --data t --val v --out r --arch resnet18 --stem cifar --base-width 8 \
    --proj-hidden 16 --proj-out 8 --pred-hidden 16 --large 2 --small 0 --large-size 8 --p-mask 0 \
    --batch 8 --negatives 4 --steps 6 --warmup-epochs 1 --threads 2 --eval-every 2 --k 3 \
    --eval-fraction 1 --json >run.json 2>run.err || fail "rq-train run: $(cat run.err)"
grep -q '"state":"done"' run.json || fail "$(cat run.json)"

number() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; }
eval_knn() { rq-eval knn --train t --val v --k 3 --json "$@" 2>err.txt || fail "$(cat err.txt)"; }
eval_knn --run r >knn.json
[ "$(number knn <knn.json)" = "$(number knn <run.json)" ] ||
    fail "rq-eval and the run's own kNN differ: $(cat knn.json run.json)"
for threads in 1 3; do
    eval_knn --run r --threads $threads >again.json
    cmp knn.json again.json || fail "another answer on $threads threads"
done
eval_knn --run r --untrained | grep -q 'untrained resnet18, seed 0' || fail "untrained"
eval_knn --run r --net target | grep -q 'target resnet18 encoder of step 6' || fail "target"
pixels=$(eval_knn --raw-pixels --size 8 --fraction 1 | number knn)
[ "$pixels" = 1.000000 ] || fail "pixels tell the classes apart, kNN says $pixels"
rq-eval knn --run r --train t --val v | grep -q '24 training, 12 validation images' ||
    fail "no protocol line"

rq-eval linear --run r --train t --val v --epochs 40 --probe-batch 8 --json >linear.json ||
    fail "linear"
awk -v x="$(number linear <linear.json)" 'BEGIN {exit !(x >= 0.75)}' ||
    fail "linear probe: $(cat linear.json)"
rq-eval linear --run r --train t --val v --epochs 2 --probe-batch 8 --augment |
    grep -q 'random crops and flips; backbone frozen and unchanged' || fail "linear --augment"

# the newest checkpoint by name is the one of --run
rq-eval knn --ckpt r/ckpt-00000006.safetensors --train t --val v --k 3 --json >ckpt.json
cmp knn.json ckpt.json || fail "--ckpt and --run differ"
exit 0
