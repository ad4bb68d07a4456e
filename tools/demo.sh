#!/bin/sh
# The whole of Reliquary in a few minutes: demo.sh BIN OUT [DATA]
#
# Without DATA it makes a labelled picture set of its own, with masks. DATA is a folder or tar of
# images; a folder with train/ and val/ inside is evaluated on val/. Every command is printed
# before it runs, so that it can be typed again. OUT is made, or refreshed when an earlier demo
# made it; nothing else in it is touched.
set -u
export LC_ALL=C
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: demo.sh BIN OUT [DATA]" >&2
    exit 2
fi
bin=$(cd "$1" && pwd) || exit 3
out=$2
data=${3:-}
PATH=$bin:$PATH
mark=$out/.made-by-reliquary-demo
begun=$(date +%s)

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }
die() {
    echo "demo: $*" >&2
    exit 3
}

# Prints the command, runs it, and ends the demo when its exit code is not 0 or $allowed.
allowed=0
run() {
    printf '  $'
    for word; do
        case $word in
        *[!A-Za-z0-9_./,:=+-]* | '') printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$@"
    rc=$?
    [ $rc = 0 ] || [ $rc = "$allowed" ] || {
        echo "demo: that ended with exit code $rc; the lines above say why" >&2
        exit $rc
    }
    allowed=0
}

# The number behind "KEY": in a line of JSON.
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" | tail -1; }
percent() { awk -v x="$1" 'BEGIN {printf "%.1f %%", 100 * x}'; }

if [ -e "$out" ] && [ ! -e "$mark" ] && [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
    die "$out is there already and no demo made it; choose another folder with OUT=..."
fi
mkdir -p "$out" && : >"$mark" || die "cannot write to $out"
for piece in pictures train val run views.html views.png report.html; do
    rm -rf "${out:?}/$piece"
done

# ---- 1 pictures -----------------------------------------------------------------------------
masks='' val=''
if [ -z "$data" ]; then
    say "1  Make pictures: eight kinds of objects, each on a background that misleads"
    run rq-demo pictures -o "$out/pictures" --count 2000 --val 400 --no-progress
    source=$out/pictures/train val=$out/pictures/val masks=$out/pictures/masks
else
    say "1  Your images: $data"
    [ -e "$data" ] || die "$data does not exist; give DATA=folder or DATA=archive.tar"
    source=$data
    if [ -d "$data/train" ]; then
        source=$data/train
        [ ! -d "$data/val" ] || val=$data/val
    fi
fi

# ---- 2 pack ---------------------------------------------------------------------------------
say "2  Pack them into shards that any tar with zstd can read"
allowed=1 # some images were rejected: the demo's own set has two on purpose
if [ -n "$masks" ]; then
    run rq-pack build "$source" -o "$out/train" --masks "$masks" --no-progress
    echo "  (five odd files were planted; this is what became of them)"
    grep -E '"(fixed|warned|rejected)"' "$out/train/ingest-report.jsonl" |
        sed -n 's/.*"name": *"\([^"]*\)".*"verdict": *"\([^"]*\)".*"reason": *"\([^"]*\)".*/    \1: \2, \3/p'
else
    run rq-pack build "$source" -o "$out/train" --no-progress
fi
if [ -n "$val" ]; then
    allowed=1
    run rq-pack build "$val" -o "$out/val" --no-progress
fi
run rq-pack verify "$out/train" --deep --no-progress
stat=$(rq-pack stat "$out/train" --json) || die "rq-pack stat failed"
samples=$(echo "$stat" | number samples)
classes=$(echo "$stat" | number classes)
[ -n "$masks" ] && masked='' || masked='--p-mask 0'
labelled=no
[ "${classes:-0}" -lt 2 ] || labelled=yes

# ---- 3 look ---------------------------------------------------------------------------------
say "3  Look at what training will see"
# shellcheck disable=SC2086 # $masked is two words or none
run rq-dump views "$out/train" --preset demo $masked --random 8 \
    --html "$out/views.html" --png "$out/views.png"
[ "$samples" -ge 64 ] ||
    die "training takes batches of 64 images and there are $samples; the views are in $out/views.html"

# ---- 4 train --------------------------------------------------------------------------------
say "4  Pre-train on them without labels"
set -- --data "$out/train" --preset demo --out "$out/run"
[ -n "$masks" ] || set -- "$@" --p-mask 0
# However many images there are, the demo stays short: 1000 steps of 64.
[ -z "$data" ] || [ "$samples" -lt 3200 ] || set -- "$@" --steps 1000 --warmup-epochs 0
if [ $labelled = yes ]; then
    set -- "$@" --eval-every "$(awk -v n="$samples" 'BEGIN {print n < 3200 ? 5 : 320 * 64 / n}')"
    [ -z "$val" ] || set -- "$@" --val "$out/val"
fi
run rq-train run "$@" --no-progress --report-every 20s

# ---- 5 evaluate -----------------------------------------------------------------------------
if [ $labelled = no ]; then
    say "5  No evaluation: there are no class folders, so there are no labels"
elif [ -z "$val" ]; then
    say "5  Evaluation: during the run above, with a tenth of the images held out"
    echo "  a folder with train/ and val/ inside is compared with the untrained network as well"
else
    say "5  Evaluate with the labels, which training did not use"
    set -- --train "$out/train" --val "$out/val"
    run rq-eval knn --run "$out/run" "$@"
    run rq-eval knn --run "$out/run" --untrained "$@"
    run rq-eval linear --run "$out/run" "$@"
    trained=$(rq-eval knn --run "$out/run" "$@" --json | number knn)
    untrained=$(rq-eval knn --run "$out/run" --untrained "$@" --json | number knn)
    pixels=$(rq-eval knn --raw-pixels --size 32 --fraction 1 "$@" --json | number knn)
fi

# ---- 6 report -------------------------------------------------------------------------------
say "6  Report"
run rq-train report "$out/run" --views "$out/views.png" -o "$out/report.html"

spent=$(($(date +%s) - begun))
say "Done in $((spent / 60)) min $((spent % 60)) s"
if [ -n "${trained:-}" ]; then
    echo "  kNN accuracy, 20 neighbours, $classes classes (chance: $(percent "$(awk -v n="$classes" 'BEGIN {print 1 / n}')"))"
    echo "    raw pixels         $(percent "$pixels")"
    echo "    untrained network  $(percent "$untrained")"
    echo "    after pre-training $(percent "$trained")"
fi
echo "  open  $out/views.html   what training saw: crops, masks and every parameter"
echo "        $out/report.html  the curves of the run"
