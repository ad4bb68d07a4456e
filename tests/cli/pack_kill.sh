# kill -9 in front of 200 of a build's system calls, and at some moments by the clock: the same
# command run again ends in the very dataset of a build that was never disturbed, with the same
# report, and leaves nothing else behind. Then the same in front of every call of a build that
# replaces a dataset, of a part, of merge and of repair; and builds that are killed again and
# again before they come to their end.
set -eu
fault_room=memory
. "$RQ_SOURCE/tests/crash/shim.sh"
rq-demo pictures -q -o pictures --count 40 --val 0 --size 24 --no-oddities
echo 'no picture' >pictures/train/disc/broken.jpg
opts='--encode ppm --shard-size 8KiB -q --no-progress'
build="rq-pack build pictures/train $opts"
case $RQ_BIN in *san/*) step=7 ;; *) step=1 ;; esac
point=none
broken() { # what
    echo "killed in front of $point: $1"
    [ ! -f err ] || cat err
    ls -lA d
    exit 1
}
# One input is broken: exit code 1.
packed() {
    rc=0
    "$@" >out 2>err || rc=$?
    [ $rc = 1 ] || broken "exit code $rc"
}
packed $build -o whole
packed rq-pack build pictures/train -o old --encode ppm --level 9 -q
for i in 1 2 3; do $build --part $i/3 -o parts >out 2>err || [ $? = 1 ]; done
cp -r parts merged
rq-pack merge merged -q >/dev/null
cp -r whole hurt
for shard in hurt/*.tar.zst; do truncate -s -100 "$shard"; done
cp -r hurt mended
rq-pack repair mended -q >/dev/null 2>&1
cmp -s mended/dataset.json whole/dataset.json || broken "repair does not give the dataset back"
cp -r parts onepart
rm onepart/*p002of003*

same() { # folder
    [ "$(ls -A d)" = "$(ls -A "$1")" ] || broken "other files than $1"
    for f in d/*; do cmp -s "$f" "$1/${f#d/}" || broken "$f is not that of $1"; done
}
# What stands under a final name is whole.
sound() {
    [ ! -f d/dataset.json ] || [ "$1" = repair ] || rq-pack verify -q --no-progress d >out 2>&1 ||
        broken "a manifest stands over damage"
    for shard in d/*.tar.zst; do
        [ ! -f "$shard" ] || [ "$1" = repair ] || zstd -tq "$shard" || broken "$shard is damaged"
    done
}
killed=0 kept=0
# kill work from to-be threads: for calls 1, 1 + stride, ...
sweep() { # name, folder it starts from or "", folder it ends as, stride, command...
    name=$1 from=$2 to=$3 stride=$4
    shift 4
    i=1
    while :; do
        rm -rf d
        [ -z "$from" ] || cp -r "$from" d
        point="call $i of $name"
        rc=0
        fault any:$i:kill "$@" --threads $((i % 3 + 1)) >out 2>err || rc=$?
        [ $rc -gt 128 ] || break # it was done before its i-th call
        killed=$((killed + 1))
        sound "$name"
        [ ! -f d/.build.journal ] || [ "$(wc -l <d/.build.journal)" -lt 2 ] || kept=$((kept + 1))
        rc=0
        "$@" --threads $(((i + 1) % 3 + 1)) >out 2>err || rc=$?
        [ $rc -le 1 ] || broken "cannot be continued"
        same "$to"
        i=$((i + stride))
    done
    echo "$name: killed in front of calls 1, $((1 + stride)), ... $i"
}
n=$(fault_count any $build -o d --threads 1)
[ "$n" -ge 200 ] || broken "only $n calls"
rm -rf d
sweep build "" whole $((n / 200 * step)) $build -o d
[ $((kept * step)) -ge 100 ] || broken "only $kept builds had something to continue"
sweep replace old whole $((2 * step)) $build -o d --force
sweep part onepart parts $((2 * step)) $build -o d --part 2/3
# These have no --threads: a wrapper that drops it.
printf 'rq-pack merge d -q\n' >merge.sh
printf 'rq-pack repair d -q\n' >repair.sh
sweep merge parts merged $step sh merge.sh
sweep repair hurt mended $step sh repair.sh

# By the clock, and several times in one build.
for round in 1 2 3; do
    rm -rf d
    point="a moment of round $round"
    for delay in 0.00$round 0.01$round 0.02$round; do
        $build -o d --threads 2 >out 2>err &
        sleep $delay
        kill -KILL $! 2>/dev/null || : # it may be done
        wait $! 2>/dev/null || :
        sound build
    done
    rc=0
    $build -o d >out 2>err || rc=$? # whether it was killed behind its last step or not
    [ $rc -le 1 ] || broken "cannot be continued"
    same whole
done
# In front of its 70th call, again and again, until it is done.
rm -rf d
rounds=0
until [ -f d/dataset.json ]; do
    point="round $rounds of many"
    fault any:70:kill $build -o d >out 2>err || :
    sound build
    rounds=$((rounds + 1))
    [ $rounds -lt 100 ] || broken "no end after 100 rounds"
done
$build -o d >out 2>err || [ $? = 1 ]
same whole
[ $rounds -ge 3 ] || broken "done after $rounds rounds"
echo "$killed points, $rounds kills in one build"
