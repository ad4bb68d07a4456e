#!/bin/sh
# The demo as far as it goes in a second: a folder it did not make is left alone, images that are
# too few to train on are packed and shown, and a second call replaces only what the first made.
set -u
failed=0
fail() { echo "FAIL: $*"; failed=1; }
demo() { sh "$RQ_SOURCE/tools/demo.sh" "$RQ_BIN" "$@" >out.txt 2>&1 </dev/null; }

mkdir mine && echo keep >mine/file
demo mine
[ $? = 3 ] && grep -q 'no demo made it' out.txt || fail "a foreign folder: $(cat out.txt)"
[ "$(ls -A mine)" = file ] || fail "a foreign folder was changed: $(ls -A mine)"
demo out nowhere
[ $? = 3 ] && grep -q 'nowhere does not exist' out.txt || fail "missing images: $(cat out.txt)"

rq-demo pictures -o p --count 16 --val 0 --size 32 -q >/dev/null
demo out p
[ $? = 3 ] && grep -q 'batches of 64' out.txt || fail "few images: $(cat out.txt)"
grep -q '\$ rq-pack build p/train -o out/train' out.txt || fail "the command is not printed"
[ -s out/views.html ] && [ -s out/views.png ] || fail "no views"
echo keep >out/other
demo out p/train/disc
[ -e out/other ] || fail "what the demo did not make is gone"
[ -s out/views.html ] || fail "no views the second time: $(cat out.txt)"
sh "$RQ_SOURCE/tools/demo.sh" >out.txt 2>&1
[ $? = 2 ] || fail "no arguments"
exit $failed
