#!/bin/sh
# Fuzzes: run.sh BUILD_DIR SECONDS [TARGET...], each target for so long; all without a choice.
# run.sh --can CC says whether this compiler can build a fuzzer.
#
# What a target found interesting stays in BUILD_DIR/corpus/TARGET, so that the next run goes on
# from there; inputs that broke something lie in BUILD_DIR/findings. Prints one row of
# tests/fuzz/LEDGER.md a target, and fails when there was a finding.
# FUZZ_TIMEOUT (2): seconds by the clock that one input may take. FUZZ_RUNS: at most so many
# executions, always the same ones.
set -u
export LC_ALL=C

if [ "$1" = --can ]; then
    dir=$(mktemp -d) || exit 1
    echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n);
        int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n)
        { return d == 0 && n > 9; }' |
        "$2" -x c -fsanitize=fuzzer,address,undefined -fopenmp - -o "$dir/can" >/dev/null 2>&1
    rc=$?
    rm -rf "$dir"
    exit $rc
fi

build=$1 seconds=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
RQ_FIXTURES=${RQ_FIXTURES:-$here/../../../shared/data}
export RQ_FIXTURES
export ASAN_OPTIONS=quarantine_size_mb=16:allocator_may_return_null=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
aslr=$(setarch -R true 2>/dev/null && echo "setarch -R")
mkdir -p "$build/findings" "$build/logs"
commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)
today=$(date +%Y-%m-%d)
[ $# -gt 0 ] || set -- $(cd "$build/fuzz" && ls | sed -n 's/^fuzz_\([a-z_]*\)$/\1/p')

last_number() { # pattern with one group, file
    sed -n "s/.*$1.*/\1/p" "$2" | tail -1
}

findings=0
echo "| date | commit | target | seconds | executions | edges | findings |"
echo "|---|---|---|---:|---:|---:|---:|"
for t; do
    work=$build/corpus/$t log=$build/logs/$t.log
    mkdir -p "$work"
    dict=
    [ ! -f "$here/$t.dict" ] || dict=-dict=$here/$t.dict
    before=$(find "$build/findings" -name "$t-*" | wc -l)
    start=$(date +%s)
    $aslr "$build/fuzz/fuzz_$t" $dict ${FUZZ_RUNS:+-runs=$FUZZ_RUNS -seed=1} \
        -max_total_time="$seconds" -timeout="${FUZZ_TIMEOUT:-2}" \
        -rss_limit_mb=512 -malloc_limit_mb=128 -max_len=16384 -reload=0 -close_fd_mask=1 \
        -print_final_stats=1 -verbosity=1 -artifact_prefix="$build/findings/$t-" \
        "$work" $(sh "$here/corpus.sh" "$t") </dev/null >"$log" 2>&1
    rc=$?
    took=$(($(date +%s) - start))
    new=$(($(find "$build/findings" -name "$t-*" ! -name "$t-slow-unit-*" | wc -l) - before))
    [ "$new" -ge 0 ] || new=0
    [ $rc = 0 ] || [ "$new" -gt 0 ] || new=1 # it did not even start
    findings=$((findings + new))
    echo "| $today | $commit | $t | $took | $(last_number 'number_of_executed_units: *\([0-9]*\)' "$log") | $(last_number ' cov: \([0-9]*\) ' "$log") | $new |"
    [ "$new" = 0 ] || {
        tail -40 "$log" | sed 's/^/      /' >&2
        echo "      inputs in $build/findings; log in $log" >&2
    }
done
[ "$findings" = 0 ] || {
    echo "fuzz: $findings findings" >&2
    exit 1
}
