#!/bin/sh
# A build that is interrupted ends with 130 and no half file; one that is killed leaves nothing
# that looks finished; the next run goes on and gives the bytes of a build that was never
# disturbed.
set -u
fail() { echo "FAIL: $*"; exit 1; }
mkdir -p src/a src/b
head -c 1200000 /dev/urandom >noise
i=0
while [ $i -lt 60 ]; do
    { printf 'P6\n500 600\n255\n'; head -c 900000 noise; } >src/a/$i.ppm
    i=$((i + 1))
done
printf 'P5\n1 1\n255\nx' >src/b/x.pgm
rq-pack build src -o D --encode ppm --level 9 --shard-size 3MiB >/dev/null 2>&1 || fail "build"
mv D WHOLE

for signal in INT TERM KILL; do
    rq-pack build src -o D --encode ppm --level 9 --shard-size 3MiB --threads 1 >out.txt 2>err.txt &
    pid=$!
    n=0
    until ls D/data-000001.tar.zst.new >/dev/null 2>&1; do
        n=$((n + 1))
        [ $n -lt 600 ] || fail "no second shard after a minute"
        sleep 0.1
    done
    kill -$signal $pid
    wait $pid
    rc=$?
    if [ -e D/dataset.json ]; then
        echo "the build was faster than the signal"
        exit 77
    fi
    if [ $signal != KILL ]; then
        [ $rc = 130 ] || fail "SIG$signal: exit code $rc: $(cat err.txt)"
        grep -q 'interrupted after' err.txt || fail "SIG$signal: $(cat err.txt)"
        [ -z "$(find D -name '*.tmp-*')" ] || fail "SIG$signal: $(ls -A D)"
    fi
    for f in D/*.tar.zst.new; do
        rq-pack verify "$f" >/dev/null 2>&1 || fail "SIG$signal: $f is not whole"
    done
    rq-pack build src -o D --encode ppm --level 9 --shard-size 3MiB >out.txt 2>&1 || fail "the next build"
    grep -q 'there already' out.txt || fail "SIG$signal: nothing was kept: $(cat out.txt)"
    [ "$(ls -A D)" = "$(ls -A WHOLE)" ] || fail "SIG$signal: $(ls -A D)"
    for f in WHOLE/*; do
        cmp "$f" "D/${f#WHOLE/}" || fail "SIG$signal: not the same bytes"
    done
    rm -r D
done
