#!/bin/sh
# Prints the folders whose files are inputs of a fuzz target: corpus.sh TARGET. The committed
# corpus first; then, where RQ_FIXTURES has them, folders of real and odd files of that kind.
here=$(cd "$(dirname "$0")" && pwd)
odd=${RQ_FIXTURES:-}/odd
case $1 in
jpeg) more="$odd/jpeg $odd/orientation $odd/crash" ;;
png) more=$odd/png ;;
avif) more=$odd/avif ;;
*) more= ;;
esac
for d in "$here/corpus/$1" $more; do
    [ ! -d "$d" ] || echo "$d"
done
