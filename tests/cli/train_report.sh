#!/bin/sh
# rq-train report: the page of a run that was killed, and refusals.
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
mkdir run empty
i=0
while [ $i -lt 60 ]; do
    echo "{\"step\":$i,\"epoch\":0.$i,\"loss\":$((100 - i)),\"std\":0.9,\"lr\":0.1}"
    i=$((i + 1))
done >run/metrics.jsonl
echo '{"step":59,"knn":0.5}' >>run/metrics.jsonl
printf '{"step":60,"lo' >>run/metrics.jsonl
echo 'name = <b>' >run/config.txt
cp run/metrics.jsonl before

[ "$(rq-train report run)" = run/report.html ] || fail "it does not name the page"
[ "$(rq-train report run -o r.html)" = r.html ] || fail "it does not name the page given"
cmp -s run/report.html r.html || fail "the same run gives another page"
cmp -s before run/metrics.jsonl || fail "the report changed the metrics"
for want in '<b>50.0 %</b>' '<h2>Loss' 'torn' 'name = &lt;b&gt;' '</html>'; do
    grep -qF "$want" r.html || fail "the page has no $want"
done
grep -qiE '(src|href)="?(https?:|//)|url\(|@import' r.html && fail "the page loads something"

expect 2 'which run' rq-train report
expect 3 'not the folder of a run' rq-train report empty
expect 3 'nowhere' rq-train report nowhere -o x.html
expect 3 'sheet.png' rq-train report run -o x.html --views sheet.png
: >empty/metrics.jsonl
expect 4 'no line of metrics' rq-train report empty -o x.html
expect 3 '/proc/no' rq-train report run -o /proc/no/r.html
[ ! -e x.html ] || fail "a refused call wrote a page"
[ -z "$(find . -name '.*tmp-*')" ] || fail "temporary files are left"
exit $failed
