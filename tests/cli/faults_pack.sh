# rq-pack build with its system calls failing one after the other. Whatever stands under a final
# name is whole: a manifest verifies, a shard decompresses, nothing temporary is left after an
# error; and the same command afterwards makes the very dataset that was never disturbed.
set -eu
. "$RQ_SOURCE/tests/crash/shim.sh"

rq-demo pictures -q -o pictures --count 24 --val 0 --size 32 --no-oddities
pack() { # folder
    rq-pack build pictures/train -o "$1" --encode jpeg --shard-size 16KiB --threads 2 -q
}
sums() {
    (cd "$1" && sha256sum dataset.json ./*.tar.zst)
}
broken() { # what
    echo "under '$plan': $1"
    exit 1
}
# What may be in a folder that a failed build left.
check_rest() { # folder
    [ -d "$1" ] || return 0
    for shard in "$1"/*.tar.zst; do
        [ ! -f "$shard" ] || zstd -tq "$shard" || broken "$shard is damaged"
    done
    [ ! -f "$1/dataset.json" ] || rq-pack verify -q "$1" >/dev/null ||
        broken "a manifest stands over a dataset that does not verify"
}

plan='no fault'
pack whole
sums whole >whole.sums
# The same for env, which runs no functions.
cat >pack.sh <<'END'
rq-pack build pictures/train -o "$1" --encode jpeg --shard-size 16KiB --threads 2 -q
END

failures=0
for call in write fsync rename open close; do
    rm -rf d
    n=$(fault_count $call sh pack.sh d)
    [ "$n" -gt 0 ] || [ $call = rename ] || broken "no call of $call was seen"
    i=1
    step=$((n / 12 + 1))
    while [ "$i" -le "$n" ]; do
        for how in ENOSPC EIO; do
            rm -rf d
            plan=$call:$i:$how
            rc=0
            fault $plan sh pack.sh d >out 2>err || rc=$?
            case $rc in
            0) ;; # a fault that did no harm, such as in closing what was only read
            3 | 6)
                failures=$((failures + 1))
                [ "$(wc -l <err)" -le 2 ] || { cat err; broken "more than one sentence"; }
                grep -q 'rq-pack build: .*d' err || { cat err; broken "the place is not named"; }
                [ -z "$(find d -name '*.tmp-*' 2>/dev/null)" ] || [ $call = close ] ||
                    broken "a temporary file is left"
                ;;
            *) cat err; broken "exit code $rc" ;;
            esac
            check_rest d
            [ -f d/dataset.json ] || pack d >out 2>err || { cat err; broken "cannot be continued"; }
            sums d | cmp -s - whole.sums || broken "continued to another dataset"
        done
        i=$((i + step))
    done
done
[ "$failures" -ge 20 ] || broken "only $failures faults did anything"

n=$(fault_count any sh pack.sh k)
i=1
while [ "$i" -le "$n" ]; do
    rm -rf k
    plan=any:$i:kill
    ! fault $plan sh pack.sh k >out 2>err || broken "it was not killed"
    check_rest k
    [ -f k/dataset.json ] || pack k >out 2>err || { cat err; broken "cannot be continued"; }
    sums k | cmp -s - whole.sums || broken "continued to another dataset"
    i=$((i + n / 25 + 1))
done
