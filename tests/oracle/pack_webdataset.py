# SPDX-License-Identifier: Apache-2.0
"""The webdataset package reads shards through a pipe: keys group, images and labels agree."""
import json
import os
import subprocess
import sys

try:
    import webdataset
except ImportError:
    print("the Python package webdataset is not installed")
    sys.exit(77)

pictures = {}
for c, name in enumerate(("ant", "bee")):
    os.makedirs(f"src/{name}")
    for i in range(9):
        ppm = b"P6\n3 2\n255\n" + bytes((c * 90 + i * 7 + k) % 256 for k in range(18))
        open(f"src/{name}/p{i}.ppm", "wb").write(ppm)
        pictures[f"{name}/p{i}"] = (ppm, str(c).encode())
subprocess.run(["rq-pack", "build", "src", "-o", "D", "--encode", "ppm"], check=True)
shards = [f"pipe:zstd -dc D/{s['file']}" for s in json.load(open("D/dataset.json"))["shards"]]
seen = {s["__key__"]: (s["ppm"], s["cls"]) for s in webdataset.WebDataset(shards, shardshuffle=False)}
assert seen == pictures, (len(seen), len(pictures))
