#!/bin/sh
# What ptxas said when the kernels were compiled: for every architecture all of them, none with
# spills, none with more registers than lets two blocks of 256 threads run side by side.
set -u
export LC_ALL=C
reports=$(ls "$RQ_BIN"/../train/cuda/*.ptxas 2>/dev/null)
[ -n "$reports" ] || { echo "this build has no CUDA kernels"; exit 77; }
cat $reports >all.txt
failed=0
fail() { echo "FAIL: $*"; failed=1; }

awk -v most=128 '
    /Compiling entry function/ { split($0, q, "\047"); name = q[2]; arch = q[4]; n[arch]++ }
    /bytes spill stores/ && !/ 0 bytes spill stores, 0 bytes spill loads/ {
        print "spills: " name " for " arch ": " $0; bad = 1 }
    /: Used [0-9]+ registers/ {
        for (i = 1; i < NF; i++) if ($i == "Used") used = $(i + 1)
        if (used > top[arch]) { top[arch] = used; which[arch] = name }
        if (used + 0 > most) { print "registers: " name " for " arch ": " used; bad = 1 } }
    END {
        for (a in n) print a, n[a], "kernels, at most", top[a], "registers (" which[a] ")"
        exit bad
    }' all.txt >report.txt || fail "$(grep -v kernels report.txt)"
for arch in sm_80 sm_90 sm_100; do
    grep -q "^$arch [1-9]" report.txt || fail "no kernels for $arch"
done
[ "$(grep kernels, report.txt | awk '{print $2}' | sort -u | wc -l)" = 1 ] ||
    fail "not the same kernels everywhere"
cat report.txt
exit $failed
