#!/bin/sh
# rq-dump views: its three outputs, the same bytes whichever way an image is asked for, and one
# clear sentence for everything that can be wrong with a call.
set -u
failed=0
fail() { echo "FAIL: $*"; failed=1; }
expect() {
    code=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = "$code" ] || fail "'$*' gave $rc, not $code: $(cat err.txt)"
    grep -qF -- "$words" err.txt || fail "'$*' does not say '$words': $(cat err.txt)"
}
rq-demo pictures -o p --count 16 --val 0 --size 32 --no-oddities -q >/dev/null &&
    rq-pack build p/train -o d --masks p/masks -q >/dev/null || fail "no dataset"
small="--large-size 48 --small-size 24 --p-mask 0.5"

# outputs
rq-dump views d --random 3 --seed 7 $small --html v.html --png v.png --raw raw >out.txt 2>err.txt ||
    fail "$(cat err.txt)"
[ "$(cat out.txt)" = "v.html: 3 images, 18 views
v.png: 3 images, 18 views
raw: 3 images, 18 views" ] || fail "it says: $(cat out.txt)"
[ "$(grep -o '<div class="view"' v.html | wc -l)" = 18 ] || fail "not 18 views on the page"
grep -qiE '(src|href)="?(https?:|//)|url\(|@import' v.html && fail "the page loads something"
grep -q "rq-dump views d --random 3 --seed 7" v.html || fail "the page does not name its command"
mkdir sheet && cp v.png sheet/ && rq-pack build sheet -o s -q >/dev/null 2>err.txt ||
    fail "the sheet is no sound PNG: $(cat err.txt)"
head -c 6 raw/large.npy | od -An -c | grep -q 'N   U   M   P   Y' || fail "no NumPy file"
[ "$(wc -c <raw/large.npy)" = $((128 + 4 * 3 * 48 * 48 * 3)) ] || fail "large.npy has another size"
[ "$(wc -c <raw/small.npy)" = $((128 + 2 * 3 * 24 * 24 * 3)) ] || fail "small.npy has another size"

# the same again; and an image alone is the image among others
rq-dump views d --random 3 --seed 7 $small --raw raw2 -q >/dev/null
cmp -s raw/large.npy raw2/large.npy || fail "a second run gives other views"
ids=$(sed -n 's/^{"id":\([0-9]*\),.*/\1/p' raw/params.json | tr '\n' ' ')
n=0
for id in $ids; do
    rq-dump views d --ids "$id" --seed 7 $small --raw one -q >/dev/null
    tail -c +129 one/large.npy | head -c 6912 >one.view
    tail -c +129 raw/large.npy | tail -c +$((n * 6912 + 1)) | head -c 6912 >all.view
    cmp -s one.view all.view || fail "sample $id alone has another first view"
    n=$((n + 1))
done
[ $n = 3 ] || fail "$n samples in params.json, not 3"
rq-dump views d --random 3 --seed 7 --epoch 1 $small --raw other -q >/dev/null
cmp -s raw/large.npy other/large.npy && fail "another epoch gives the same views"

# recipes from elsewhere
rq-dump views d --preset cifar-rn18 --ids 2 --raw preset -q >/dev/null
[ "$(wc -c <preset/large.npy)" = $((128 + 2 * 32 * 32 * 3)) ] || fail "--preset has no effect"
mkdir run
printf '# a run\nseed = 7\nlarge-size = 48\nsmall-size = 24\np-mask = 0.5\nepochs = 9\nout = "x"\n' \
    >run/config.txt
rq-dump views d --run run --random 3 --raw fromrun -q >/dev/null
cmp -s raw/large.npy fromrun/large.npy || fail "--run does not give the views of the run"
rq-dump views d --run run --random 3 --seed 8 --raw fromrun -q >/dev/null
cmp -s raw/large.npy fromrun/large.npy && fail "what is typed does not win over --run"
rq-dump views d --random 2 --json $small --png j.png | grep -q '^{"images":2,"views":12,"png":"j.png"}' ||
    fail "--json"

# refusals
expect 3 'nowhere' rq-dump views nowhere --png x.png
expect 3 'no sample 99' rq-dump views d --ids 3,99 --png x.png
expect 2 '--ids' rq-dump views d --ids 3,x --png x.png
expect 2 '--ids' rq-dump views d --ids '' --png x.png
expect 2 'nothing to write' rq-dump views d
expect 2 'which dataset' rq-dump views --png x.png
expect 2 'one dataset' rq-dump views d d --png x.png
expect 2 'htm' rq-dump views d --htm x
expect 2 'random' rq-dump views d --random 0 --png x.png
expect 3 'not the folder of a run' rq-dump views d --run p --png x.png
expect 3 '/proc/no' rq-dump views d --png /proc/no/x.png
[ ! -e x.png ] || fail "a refused call wrote x.png"
rq-pack build p/train -o bare -q >/dev/null
expect 2 'mask' rq-dump views bare --random 1 --png x.png
rq-dump views bare --random 1 --allow-missing-masks --png ok.png -q >/dev/null || fail "bare"
exit $failed
