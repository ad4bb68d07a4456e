# SPDX-License-Identifier: Apache-2.0
"""The shards are what they claim to be: standard files. zstd -t and -l, GNU tar --zstd, Python's
tarfile on a pipe, and a seek through the seek table alone read them, and every member's bytes
are those of the source."""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib


def run(*args, **kw):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw).stdout


def png(width, height, rgb):
    rows = b"".join(b"\0" + rgb[y * width * 3:(y + 1) * width * 3] for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


for tool in ("zstd", "tar"):
    if not shutil.which(tool):
        print(f"no {tool} on this machine")
        sys.exit(77)

# A source of PNM and PNG pictures, some with masks, whose members are known beforehand.
expected = {}  # member name -> bytes
classes = ["ant", "bee", "cat"]
for c, name in enumerate(classes):
    os.makedirs(f"src/{name}")
    os.makedirs(f"masks/{name}", exist_ok=True)
    for i in range(40):
        w, h = 3 + (i * 7 + c) % 30, 2 + (i * 5) % 20
        rgb = b"".join(hashlib.sha256(bytes([c, i, k])).digest() for k in range(w * h * 3 // 32 + 1))[:w * h * 3]
        ppm = b"P6\n%d %d\n255\n" % (w, h) + rgb
        base = f"{name}/pic_{i:03d}"
        open(f"src/{base}.{'png' if i % 4 == 0 else 'ppm'}", "wb").write(png(w, h, rgb) if i % 4 == 0 else ppm)
        expected[base + ".ppm"] = ppm
        expected[base + ".cls"] = str(c).encode()
        if i % 5 == 0:
            mask = b"P5\n%d %d\n255\n" % (w, h) + rgb[:w * h]
            open(f"masks/{base}.pgm", "wb").write(mask)
            expected[base + ".mask.pgm"] = mask

subprocess.run(["rq-pack", "build", "src", "-o", "D", "--encode", "ppm", "--masks", "masks", "--shard-size", "40KiB"],
               check=True)
manifest = json.load(open("D/dataset.json"))
shards = [f"D/{s['file']}" for s in manifest["shards"]]
assert len(shards) > 2 and manifest["samples"] == 120, manifest

found, samples = {}, 0
for path, entry in zip(shards, manifest["shards"]):
    data = open(path, "rb").read()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"] and len(data) == entry["bytes"]
    run("zstd", "-t", path)
    listing = run("zstd", "-l", path).decode().splitlines()[-1].split()
    # zstd counts the skippable frames in both columns.
    assert listing[0] == str(entry["samples"] + 3) and listing[1] == "2", listing

    # GNU tar: names, then bytes.
    names = run("tar", "--zstd", "-tf", path).decode().split()
    os.makedirs("x", exist_ok=True)
    run("tar", "--zstd", "-xf", path, "-C", "x")
    for name in names:
        assert name not in found, name
        found[name] = open(f"x/{name}", "rb").read()

    # Python's tarfile as a WebDataset reader uses it: on the pipe of a decoder.
    pipe = subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=pipe.stdout, mode="r|") as tar:
        previous, order = None, []
        for member in tar:
            assert member.isreg() and member.mode == 0o644 and member.mtime == 0 and member.uid == 0
            assert tar.extractfile(member).read() == found[member.name]
            order.append(member.name)
            key = member.name.split("/")[-1].split(".")[0]
            assert "." not in member.name[:-len(member.name.split("/")[-1])]
            if key != previous:
                samples += 1
                previous = key
    assert pipe.wait() == 0 and order == names

    # The seek table, read by its own specification: the k-th frame alone is a tar of one sample.
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    assert magic == 0x8F92EAB1 and descriptor == 0 and count == entry["samples"] + 2
    table = data[-(count * 8 + 17):]
    assert struct.unpack("<II", table[:8]) == (0x184D2A5E, count * 8 + 9)
    rows = [struct.unpack("<II", table[8 + 8 * i:16 + 8 * i]) for i in range(count)]
    k = entry["samples"] // 2
    start = sum(r[0] for r in rows[:k])
    content = run("zstd", "-dc", input=data[start:start + rows[k][0]])
    assert len(content) == rows[k][1] and content[:100].rstrip(b"\0").decode() in names

metas = {n: json.loads(b) for n, b in found.items() if n.endswith(".json")}
assert len(metas) == 120 == samples
for name, meta in metas.items():
    assert meta["name"].rsplit(".", 1)[0] + ".json" == name and meta["class"] == name.split("/")[0]
    head = found[name[:-5] + ".ppm"].split(b"\n")[1].split()
    assert [meta["width"], meta["height"]] == [int(x) for x in head], meta
assert {n: b for n, b in found.items() if not n.endswith(".json")} == expected

print("zstd, GNU tar and Python's tarfile agree on", len(found), "members in", len(shards), "shards")
