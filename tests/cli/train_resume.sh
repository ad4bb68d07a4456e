#!/bin/sh
# A run that is killed with -9 at random moments, stopped with SIGTERM, or finds its newest
# checkpoint damaged, and is started again with the same command, ends with the weights and the
# metrics of a run that nobody touched.
set -u
export LC_ALL=C
fail() { echo "FAIL: $*"; exit 1; }

mkdir -p images/a images/b
for n in $(seq 1 40); do
    class=$([ $((n % 2)) = 0 ] && echo a || echo b)
    awk -v seed="$n" 'BEGIN {srand(seed); printf "P6\n8 8\n255\n"
        for (i = 0; i < 192; i++) printf "%c", 1 + int(rand() * 200 + (seed % 2) * 50)}' \
        >"images/$class/$n.ppm"
done
rq-pack build images -o data --encode ppm --no-progress >/dev/null || fail "rq-pack build"

lr=10 threads=2
# Becomes rq-train: call it as (train ...) or train ... &
train() { # run folder, more options
    out=$1
    shift
    exec rq-train run --data data --out "$out" --arch resnet18 --stem cifar --base-width 8 \
        --proj-hidden 16 --proj-out 8 --pred-hidden 16 --large 2 --small 1 --large-size 8 \
        --small-size 4 --p-mask 0 --batch 8 --negatives 4 --steps 20 --warmup-epochs 1 --lr $lr \
        --ema 0.9 --threads $threads --eval-every 1 --k 5 --eval-fraction 1 "$@" \
        >"$out.out" 2>"$out.err"
}
tensors() { # the data behind the header, whose metadata name the folder
    header=$(od -An -N8 -tu8 "$1" | tr -d ' ')
    tail -c +$((header + 9)) "$1"
}
same_as_whole() {
    last=$1/ckpt-00000020.safetensors
    [ -f "$last" ] || fail "$1 has no checkpoint of the last step: $(ls "$1")"
    tensors "$last" >part.bin
    cmp whole.bin part.bin || fail "$1 ends with other weights"
    cmp whole/metrics.jsonl "$1/metrics.jsonl" || fail "$1 ends with other metrics"
}

begun=$(date +%s%N)
(train whole) || fail "the whole run: $(cat whole.err)"
took=$((($(date +%s%N) - begun) / 1000000)) # ms; only spreads the moments of the kills
tensors whole/ckpt-00000020.safetensors >whole.bin
[ "$(wc -c <whole.bin)" -gt 100000 ] || fail "the checkpoint is too small to prove anything"
[ "$(grep -c '"loss"' whole/metrics.jsonl)" = 20 ] || fail "not one line for each step"
[ "$(grep -c '"knn"' whole/metrics.jsonl)" = 4 ] || fail "not one online kNN for each epoch"
[ "$(ls whole/ckpt-* | wc -l)" = 2 ] || fail "not two checkpoints: $(ls whole)"

# kill -9 at random moments of the run
kills=0
for try in 1 2 3 4 5; do
    train killed --save-every 3 &
    pid=$!
    byte=$(od -An -N1 -tu1 /dev/urandom)
    sleep "$(awk -v t="$took" -v b="$byte" 'BEGIN {print t / 1000 * (0.1 + b / 256)}')"
    kill -9 "$pid" 2>/dev/null && kills=$((kills + 1))
    wait "$pid" || continue
    [ $kills -gt 0 ] && break
    rm -rf killed # it was done before its kill, on a machine less busy than before
    took=$((took / 4))
done
[ $kills -gt 0 ] || fail "no run was killed"
(train killed --save-every 3) || fail "the last resume: $(cat killed.err)"
same_as_whole killed
echo "$kills kills"

# SIGTERM: save and say so
train stopped --save-every 1000 &
pid=$!
for i in $(seq 1 300); do
    [ "$(cat stopped/metrics.jsonl 2>/dev/null | wc -l)" -ge 2 ] && break
    sleep 0.02
done
kill -TERM "$pid" 2>/dev/null
wait "$pid"
rc=$?
[ $rc = 75 ] || [ $rc = 0 ] || fail "SIGTERM gave $rc: $(cat stopped.err)"
[ $rc = 0 ] || grep -q 'run again to continue' stopped.out || fail "$(cat stopped.out)"
(train stopped --save-every 1000) || fail "resume after SIGTERM: $(cat stopped.err)"
same_as_whole stopped

# a second process in the same folder: kept out, and the first one is none the worse
train both &
pid=$!
for i in $(seq 1 300); do
    [ -e both/metrics.jsonl ] && break
    sleep 0.02
done
kill -STOP "$pid"
rq-train run --config both/config.txt >second.out 2>second.err
rc=$?
kill -CONT "$pid"
[ $rc = 2 ] || fail "a second run in the folder gave $rc: $(cat second.err)"
grep -q 'another process is training in both' second.err || fail "$(cat second.err)"
wait "$pid" || fail "the first run: $(cat both.err)"
same_as_whole both

# out of time at once: the same, with nothing done
(train timed --max-time 0.001s)
[ $? = 75 ] || fail "--max-time did not give 75"
(train timed) || fail "resume after --max-time: $(cat timed.err)"
same_as_whole timed

# the newest checkpoint is damaged: the one before it, in one clear line
cp -r whole damaged
printf 'x' | dd of=damaged/ckpt-00000020.safetensors bs=1 seek=200000 conv=notrunc 2>/dev/null
(train damaged) || fail "resume from an older checkpoint: $(cat damaged.err)"
grep -q 'going back to the checkpoint of step' damaged.err || fail "$(cat damaged.err)"
same_as_whole damaged

# other options: refused with a list, unless forced
lr=3
(train whole)
[ $? = 2 ] || fail "another learning rate was not refused"
grep -q 'lr: 10 -> 3' whole.err || fail "$(cat whole.err)"
(lr=10 threads=1 && train whole) || fail "the number of threads may differ: $(cat whole.err)"
(train whole --force-resume) || fail "--force-resume: $(cat whole.err)"
exit 0
