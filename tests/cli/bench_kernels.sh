#!/bin/sh
# rq-bench kernels: every kernel has a row, JSON is JSON, and nothing but options is taken.
set -eu
rq-bench kernels --repeats 1 > table
for name in resize_h resize_v hue saturation "blur across" store "six views" "six fast views"; do
    grep -q "^$name " table || { echo "no row for $name"; cat table; exit 1; }
done
rq-bench kernels --repeats 1 --json > out.json
"$PYTHON" - <<'P'
import json
d = json.load(open("out.json"))
assert d["chosen"] in ("c", "avx2", "avx512")
assert len(d["kernels"]) >= 15 and all(k["c_ns"] > 0 for k in d["kernels"])
P
if rq-bench kernels something 2> err; then echo "an argument was taken"; exit 1; fi
grep -q "no argument is expected" err
