# rq-pack with its system calls failing, every single one of them: the n-th write, fsync, rename,
# open, close, ftruncate, unlink, mkdir and link of a build, of one that is continued, of one
# that replaces a dataset, of merge, repair and unpack. Whatever stands under a final name is
# whole, the exit code is right, one sentence names the place, no temporary file stays behind
# an error, and the same command afterwards makes the very dataset that was never disturbed.
set -eu
fault_room=memory
. "$RQ_SOURCE/tests/crash/shim.sh"

rq-demo pictures -q -o pictures --count 8 --val 0 --size 24 --no-oddities
opts='--encode ppm --shard-size 8KiB --threads 1 -q --no-progress'
build="rq-pack build pictures/train $opts"
broken() { # what
    echo "under '$plan' of '$work': $1"
    [ ! -f err ] || cat err
    ls -lA d 2>/dev/null
    exit 1
}
sum() {
    sha256sum <"$1/dataset.json"
}

plan=none work=setup
$build -o whole
want=$(sum whole)
rq-pack build pictures/train -o old --encode ppm --level 9 -q --no-progress
old=$(sum old)
for i in 1 2; do $build --part $i/2 -o parts; done
cp -r parts merged
rq-pack merge merged -q >/dev/null
merged=$(sum merged)
cp -r whole hurt
last=$(ls hurt/*.tar.zst | tail -1)
truncate -s -100 "$last"
rm hurt/dataset.json
cp -r hurt mended
rq-pack repair mended -q >/dev/null
mended=$(sum mended)
# A build that was killed behind its first shard.
n=$(fault_count rename $build -o killed)
rm -rf killed
! fault rename:3:kill $build -o killed 2>/dev/null || broken "not killed"
[ -f killed/.build.journal ] || broken "nothing to continue"

# What each piece of work starts from, how it is done, and how one sees that it is done.
start() {
    rm -rf d
    case $work in
    build | unpack) ;;
    continue) cp -r killed d ;;
    replace) cp -r old d ;;
    merge) cp -r parts d ;;
    repair) cp -r hurt d ;;
    esac
}
command() {
    case $work in
    build | continue) echo "$build -o d" ;;
    replace) echo "$build -o d --force" ;;
    merge) echo "rq-pack merge d -q" ;;
    repair) echo "rq-pack repair d -q" ;;
    unpack) echo "rq-pack unpack whole -o d -q --no-progress" ;;
    esac
}
# Nothing under a final name is damaged; an old dataset is there until the new one is.
check_rest() {
    for shard in d/*.tar.zst; do
        [ ! -f "$shard" ] || [ "$work" = repair ] || zstd -tq "$shard" || broken "$shard is damaged"
    done
    if [ -f d/dataset.json ]; then
        rq-pack verify -q --no-progress d >out 2>&1 || broken "a manifest stands over damage: $(cat out)"
    fi
}
check_done() {
    case $work in
    build | continue | replace) [ "$(sum d)" = "$want" ] || broken "another dataset" ;;
    merge) [ "$(sum d)" = "$merged" ] || broken "another dataset" ;;
    repair) [ "$(sum d)" = "$mended" ] || broken "another dataset" ;;
    unpack) diff -r d unpacked >/dev/null || broken "other files" ;;
    esac
}
work=unpack
rq-pack unpack whole -o unpacked -q >/dev/null

# All of them take half a minute; a sanitizer makes that minutes, so there a part has to do.
case $RQ_BIN in *san/*) step=7 ;; *) step=1 ;; esac
points=0 failures=0
strike() { # call n how
    plan=$1:$2:$3
    start
    rc=0
    fault $plan $(command) >out 2>err || rc=$?
    points=$((points + 1))
    case $rc in
    0) ;; # a fault that did no harm, such as in closing what was only read
    3 | 6)
        failures=$((failures + 1))
        grep -q '^rq-pack [a-z]*: .*d' err || broken "the place is not named"
        [ "$(wc -l <err)" -le 3 ] || broken "more than a sentence"
        case $1 in unlink | close) ;; *)
            [ -z "$(find d -name '*.tmp-*' 2>/dev/null)" ] || broken "a temporary file is left" ;;
        esac
        ;;
    *) broken "exit code $rc" ;;
    esac
    # An interrupted call is made again, and half a write continued.
    case $1:$3 in write:EINTR | write:short | fsync:EINTR) [ $rc = 0 ] || broken "not repeated" ;; esac
    check_rest
    # What could not be removed behind the last step goes with the next command.
    if [ $rc != 0 ] || [ "$1" = unlink ]; then
        case $work in unpack) again='--force' ;; *) again= ;; esac
        $(command) $again >out 2>err || broken "cannot be repeated"
    fi
    check_done
    [ -z "$(find d -name '*.tmp-*' -o -name '*.new' -o -name '.build*')" ] || broken "something is left"
}

for work in build continue replace merge repair unpack; do
    for call in write fsync rename open close ftruncate unlink mkdir link; do
        start
        n=$(fault_count $call $(command))
        case $work:$call in build:write | build:fsync | build:rename | build:open) [ "$n" -gt 4 ] || broken "$call: $n calls" ;; esac
        i=1
        while [ "$i" -le "$n" ]; do
            case $work:$call in
            build:write) hows='ENOSPC EIO EINTR short' ;;
            build:*) hows='ENOSPC EIO EINTR once' ;;
            *:write) hows='ENOSPC' ;;
            *) hows='ENOSPC once' ;;
            esac
            for how in $hows; do strike $call $i $how; done
            i=$((i + step))
        done
    done
done
echo "$points faults, $failures of them failures, each repeated to the same end"
[ $((failures * step)) -ge 300 ] || broken "only $failures faults did anything"
