# SPDX-License-Identifier: Apache-2.0
"""Shards as WebDataset reads them: tar members on the pipe of a decoder, grouped by everything
before the first dot of the base name, images and labels agree. The loop is written out here from
the format's description; where the webdataset package is installed, it reads the same."""
import json
import os
import re
import subprocess
import sys
import tarfile

jpegs = {}
subprocess.run(["rq-demo", "pictures", "-q", "-o", "p", "--count", "16", "--val", "0", "--size", "32",
                "--no-oddities"], check=True)
classes = sorted(os.listdir("p/train"))
for c, name in enumerate(classes):
    for file in os.listdir(f"p/train/{name}"):
        data = open(f"p/train/{name}/{file}", "rb").read()
        jpegs[f"{name}/{file.rsplit('.', 1)[0]}"] = (data, str(c).encode())


def samples(path):
    """WebDataset's tar_file_iterator, base_plus_ext and group_by_keys."""
    pipe = subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE)
    current = None
    with tarfile.open(fileobj=pipe.stdout, mode="r|") as tar:
        for member in tar:
            if not member.isreg():
                continue
            match = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
            assert match, member.name
            key, suffix = match[1], match[2].lower()
            if current is None or key != current["__key__"]:
                if current:
                    yield current
                current = {"__key__": key}
            assert suffix not in current, ("two members of one name", member.name)
            current[suffix] = tar.extractfile(member).read()
    assert pipe.wait() == 0
    if current:
        yield current


for encoding, image in (("jpeg", "jpg"), ("dct", "rqd"), ("raw", "rqp"), ("ppm", "ppm")):
    subprocess.run(["rq-pack", "build", "p/train", "-o", encoding, "--encode", encoding, "--shard-size", "8KiB", "-q",
                    "--masks", "p/masks"], check=True, stdout=subprocess.DEVNULL)
    shards = [f"{encoding}/{s['file']}" for s in json.load(open(f"{encoding}/dataset.json"))["shards"]]
    assert len(shards) > 1
    seen = {}
    for path in shards:
        subprocess.run(["zstd", "-tq", path], check=True)
        names = subprocess.run(["tar", "--zstd", "-tf", path], check=True, stdout=subprocess.PIPE, text=True).stdout
        for s in samples(path):
            key = s["__key__"]
            assert key not in seen, key
            assert {f"{key}.{k}" for k in s if k != "__key__"} <= set(names.split())
            meta = json.loads(s["json"])
            assert meta["class"] == classes[int(s["cls"])] and meta["name"].rsplit(".", 1)[0] == key
            assert s["mask.pgm"].startswith(b"P5") and s[image], s.keys()
            seen[key] = s
    assert set(seen) == set(jpegs)
    for key, (data, label) in jpegs.items():
        assert seen[key]["cls"] == label
        assert encoding != "jpeg" or seen[key]["jpg"] == data, key
    # Without Reliquary: unpacked with GNU tar, the JPEGs are those of the source.
    if encoding == "jpeg":
        os.mkdir("x")
        for path in shards:
            subprocess.run(["tar", "--zstd", "-xf", path, "-C", "x"], check=True)
        for key, (data, _) in jpegs.items():
            assert open(f"x/{key}.jpg", "rb").read() == data

try:
    import webdataset
except ImportError:
    print("the loop of the format's description agrees; the Python package webdataset is not installed")
    sys.exit(0)
shards = [f"pipe:zstd -dc jpeg/{s['file']}" for s in json.load(open("jpeg/dataset.json"))["shards"]]
seen = {s["__key__"]: (s["jpg"], s["cls"]) for s in webdataset.WebDataset(shards, shardshuffle=False)}
assert seen == jpegs, (len(seen), len(jpegs))
