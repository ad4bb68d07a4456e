#!/bin/sh
# One small dataset in the layouts that the tools of a system can make: what is found, with
# which labels, and the sentence and exit code where something is missing.
set -u
failed=0
fail() { echo "FAIL: $*"; failed=1; }

# expect CODE WORDS COMMAND...: exit code, and words on stdout or stderr.
expect() {
    code=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt </dev/null
    rc=$?
    [ $rc = "$code" ] || fail "'$*' gave $rc, not $code: $(cat out.txt err.txt)"
    grep -qF -- "$words" out.txt err.txt || fail "'$*' does not say '$words': $(cat out.txt err.txt)"
}
dry() { # code, words, arguments of build
    code=$1 words=$2
    shift 2
    expect "$code" "$words" rq-pack build "$@" -o never --dry-run
    [ ! -e never ] || fail "a dry run wrote something"
}
# Binary PPM: name, byte to fill with.
ppm() { mkdir -p "$(dirname "$1")"; { printf 'P6\n6 5\n255\n'; head -c 90 /dev/zero | tr '\0' "$2"; } >"$1"; }

for c in n01440764 n02084071; do
    for i in 1 2 3; do ppm "d/train/$c/${c}_$i.ppm" "$i"; done
done
for i in 1 2 3 4; do ppm "d/val/ILSVRC2012_val_0000000$i.JPEG" "$i"; done
cp -r d/train t
cp -r d/val v
found='6 images in 2 classes'

# folders, and archives by GNU tar
dry 0 "$found, 606 B, layout class-folders" t
(cd t && for c in *; do tar -cf "../$c.tar" -C "$c" .; done)
mkdir tars
mv n0*.tar tars
dry 0 "$found, 606 B, layout class-tars" tars
tar -cf official.tar -C tars .
dry 0 "$found, 606 B, layout tar-of-tars" official.tar
for how in "" -z -j -J --zstd; do
    tar $how -cf any.tar t 2>/dev/null || continue
    dry 0 "$found, 606 B, layout tar-folders" any.tar
done

# splits
dry 2 'd holds train and val; say which is wanted with --split' d
dry 0 "$found" d --split train
dry 3 'and no test' d --split test
tar -czf d.tgz d
dry 2 'd.tgz holds train and val' d.tgz
dry 0 "$found" d.tgz --split train

# labels of a flat val set
dry 2 'v is a flat folder of 4 images named ILSVRC2012_val_*: labels are in the devkit; add --labels' v
printf 'ImageId,PredictionString\n' >LOC_val_solution.csv
for i in 1 2 3 4; do
    w=n01440764
    [ $i = 2 ] && w=n02084071
    echo "ILSVRC2012_val_0000000$i,$w 1 2 3 4" >>LOC_val_solution.csv
done
dry 0 '4 images in 2 classes, 404 B, layout flat-folder' v --labels LOC_val_solution.csv
sed '$d' LOC_val_solution.csv >short.csv
dry 2 '1 of 4 images have no label in short.csv, the first is ILSVRC2012_val_00000004.JPEG' v --labels short.csv
printf '1\n2\n1\n1\n' >ILSVRC2012_validation_ground_truth.txt
dry 2 'ILSVRC ids' v --labels ILSVRC2012_validation_ground_truth.txt
printf 'n01440764 tench\nn02084071 dog\nn03000684 saw\n' >classes.txt
dry 0 '4 images in 3 classes' v --labels LOC_val_solution.csv --classes classes.txt
printf 'n01440764\n' >classes.txt
dry 2 "is not in the list of 1 classes" v --labels LOC_val_solution.csv --classes classes.txt
dry 3 'nowhere' v --labels nowhere

# Kaggle
mkdir -p k/ILSVRC/Data
cp -r d k/ILSVRC/Data/CLS-LOC
cp LOC_val_solution.csv k/
dry 2 'holds train and val' k
dry 0 '6 images in 2 classes, 606 B, layout kaggle' k --split train
dry 0 '4 images in 2 classes, 404 B, layout kaggle' k --split val

# lists, exclusions
(cd t && ls n*/* | sed 's|^\(n[0-9]*\)/.*|& \1|') >t/list.txt
dry 0 "$found, 606 B, layout list" t/list.txt
echo n02084071_3.ppm >without.txt
dry 0 '5 images in 2 classes' t --exclude without.txt
dry 2 'layout' t --layout sideways

# what the project packs is a WebDataset, and packs again with the same classes and pictures
rq-pack build t -o D1 --encode ppm -q || fail "build"
dry 0 "$found" D1
rq-pack build D1 -o D2 --encode ppm -q || fail "build of shards"
for D in D1 D2; do
    rq-pack unpack $D -o U$D -q || fail "unpack $D"
    (cd U$D && find . -type f | sort | xargs sha256sum | cut -d' ' -f1 | sort) >$D.sums
    sed -n 's/.*"classes": \(\[[^]]*\]\).*/\1/p' $D/dataset.json >$D.classes
done
cmp D1.sums D2.sums || fail "pictures of repacked shards differ"
cmp D1.classes D2.classes || fail "classes of repacked shards differ"

# an archive that ends early
head -c 3072 official.tar >cut.tar
dry 4 'cut.tar' cut.tar
tar -b 1 -cf whole.tar -C t .
head -c "$(($(stat -c %s whole.tar) - 1024))" whole.tar >cut.tar
dry 4 '--allow-truncated' cut.tar
expect 0 'ends early; what is whole is used' rq-pack build cut.tar -o never --dry-run --allow-truncated
exit $failed
