#!/bin/sh
# A build with CUDA on a machine without it, and a build without: nothing of CUDA is needed to
# start, and whoever asks for it gets one sentence and exit code 7.
set -u
export LC_ALL=C
failed=0
fail() { echo "FAIL: $*"; failed=1; }
symbols='(^|[^a-z])(cuda[A-Z]|cudnn[A-Z]|cublas[A-Z]|__cuda|rq_cuda_|rq_dg_|rq_ops_cuda)'

for tool in rq-train rq-eval; do
    ldd "$RQ_BIN/$tool" >libs.txt || fail "ldd $tool"
    grep -E 'libcu|libnv' libs.txt && fail "$tool does not start without CUDA's libraries"
done
[ ! -e /dev/nvidiactl ] || { echo "there is a GPU here"; exit 77; }

mkdir images
for n in 1 2 3 4; do
    awk -v seed=$n 'BEGIN {srand(seed); printf "P6\n8 8\n255\n"
        for (i = 0; i < 192; i++) printf "%c", 1 + int(rand() * 250)}' >images/$n.ppm
done
rq-pack build images -o data --encode ppm --no-progress >/dev/null || fail "rq-pack build"
rq-train run --data data --out r --arch resnet18 --stem cifar --base-width 8 --proj-hidden 16 \
    --proj-out 8 --pred-hidden 16 --large 1 --small 0 --large-size 8 --p-mask 0 --batch 4 \
    --negatives 3 --threads 1 --steps 1 --backend cuda >out.txt 2>err.txt
rc=$?
[ $rc = 7 ] || fail "exit code $rc, not 7"
[ "$(grep -c . err.txt)" = 1 ] || fail "not one sentence: $(cat err.txt)"
grep -q -- '--backend cpu' err.txt || fail "no next step: $(cat err.txt)"
[ ! -e r ] || fail "a folder was made for a run that cannot start"

if grep -q 'this build has no CUDA backend' err.txt; then
    if nm "$RQ_BIN/rq-train" | grep -E "$symbols" | head -3 | grep .; then
        fail "a build without CUDA has symbols of it"
    fi
else
    grep -q 'no NVIDIA driver' err.txt || fail "not about the driver: $(cat err.txt)"
    nm "$RQ_BIN/rq-train" | grep -qE "$symbols" || fail "the check for symbols finds none"
fi
exit $failed
