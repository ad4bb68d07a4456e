#!/bin/sh
# Runs the tests of one build: run.sh BUILD_DIR [unit] [cli] [fuzz] [oracle]; all of them without
# a choice.
#
# unit    every program in BUILD_DIR/tests, cmocka in TAP: one result per test function
# cli     tests/cli/*.sh with the tools of BUILD_DIR/bin first in PATH: one result per script
# fuzz    every program in BUILD_DIR/fuzz over its corpus: one result per program
# oracle  tests/oracle/*.py against independent implementations: one result per script
# A script exits 0 for a pass and 77 for a skip, whose reason is the last line it printed.
# Whatever runs longer than RQ_TEST_TIMEOUT seconds (600) has failed.
# The last line is the total: "N passed, N failed, N skipped".
set -u
build=$1
shift
kinds=${*:-unit cli fuzz oracle}
here=$(cd "$(dirname "$0")" && pwd)
RQ_BIN=$(cd "$build" && pwd)/bin
RQ_SOURCE=$(cd "$here/.." && pwd)
RQ_FIXTURES=${RQ_FIXTURES:-$RQ_SOURCE/../shared/data}
PYTHON=${PYTHON:-python3}
export RQ_BIN RQ_SOURCE RQ_FIXTURES PYTHON
PATH=$RQ_BIN:$PATH
limit="timeout -k 10 ${RQ_TEST_TIMEOUT:-600}"
logs=$build/test-logs
mkdir -p "$logs"
passed=0 failed=0 skipped=0

unit() {
    for t in "$build"/tests/test_*; do
        [ -x "$t" ] && [ -f "$t" ] || continue
        case $t in *.*) continue ;; esac
        name=$(basename "$t")
        log=$logs/$name.log
        CMOCKA_MESSAGE_OUTPUT=TAP $limit "$t" </dev/null >"$log" 2>&1
        rc=$?
        # cmocka of Debian 12 says "not ok" of a test that was skipped, others "ok".
        s=$(grep -cE '^(not )?ok .*# SKIP' "$log")
        p=$(grep -E '^ok ' "$log" | grep -cv '# SKIP')
        f=$(grep -E '^not ok ' "$log" | grep -cv '# SKIP')
        planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
        # A crash after some tests must not look like a pass.
        if [ "$f" = 0 ] && { [ $rc != 0 ] || [ $((p + s)) != "$planned" ]; }; then
            f=1
        fi
        passed=$((passed + p)) skipped=$((skipped + s)) failed=$((failed + f))
        if [ "$f" = 0 ]; then
            echo "ok    $name ($p passed, $s skipped)"
            grep -hE '^(not )?ok .*# SKIP' "$log" |
                sed -E 's/^(not )?ok [0-9]* (- )?# SKIP/skip     /; s/^(not )?ok [0-9]* - /skip      /'
        else
            echo "FAIL  $name (exit $rc)"
            tail -40 "$log" | sed 's/^/      /'
        fi
    done
}

fuzz() {
    for t in "$build"/fuzz/fuzz_*; do
        [ -x "$t" ] && [ -f "$t" ] || continue
        name=$(basename "$t")
        log=$logs/$name.log
        $limit "$t" -max_len=65536 $(sh "$here/fuzz/corpus.sh" "${name#fuzz_}") \
            </dev/null >"$log" 2>&1
        rc=$?
        if [ $rc = 0 ]; then
            passed=$((passed + 1))
            echo "ok    fuzz/$name ($(tail -1 "$log"))"
        else
            failed=$((failed + 1))
            echo "FAIL  fuzz/$name (exit $rc)"
            tail -40 "$log" | sed 's/^/      /'
        fi
    done
}

scripts() { # kind, interpreter, pattern
    if ! command -v "$2" >/dev/null 2>&1; then
        n=$(find "$here/$1" -name "$3" | wc -l)
        skipped=$((skipped + n))
        echo "skip  $n in $1: there is no $2"
        return
    fi
    for t in "$here/$1"/$3; do
        [ -f "$t" ] || continue
        name=$1/$(basename "$t")
        log=$logs/$(echo "$name" | tr / -).log
        work=$(mktemp -d)
        (cd "$work" && exec $limit "$2" "$t") </dev/null >"$log" 2>&1
        rc=$?
        chmod -R u+w "$work" 2>/dev/null
        rm -rf "$work"
        case $rc in
        0) passed=$((passed + 1)); echo "ok    $name" ;;
        77) skipped=$((skipped + 1)); echo "skip  $name: $(tail -1 "$log")" ;;
        *)
            failed=$((failed + 1))
            echo "FAIL  $name (exit $rc)"
            tail -40 "$log" | sed 's/^/      /'
            ;;
        esac
    done
}

for kind in $kinds; do
    case $kind in
    unit) unit ;;
    fuzz) fuzz ;;
    cli) scripts cli "sh" '*.sh' ;;
    oracle) scripts oracle "$PYTHON" '*.py' ;;
    esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ $((passed + skipped)) -gt 0 ]
