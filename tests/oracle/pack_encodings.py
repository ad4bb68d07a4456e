# SPDX-License-Identifier: Apache-2.0
"""Encodings against Pillow: pictures that --long and --short reduce are Pillow's antialiased
bicubic within 1 level, all eight EXIF orientations are its exif_transpose, and `raw` members are
read by what FORMAT.md says of them, with numpy alone."""
import io
import json
import os
import subprocess
import sys
import tarfile

try:
    import numpy as np
    from PIL import Image, ImageOps
except ImportError as e:
    print(e)
    sys.exit(77)


def run(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


def photo(w, h, seed):
    """Something with edges, slopes and a little noise."""
    y, x = np.mgrid[0:h, 0:w].astype(float)
    rng = np.random.default_rng(seed)
    planes = [127 + 90 * np.sin(x / (7 + c) + seed) * np.cos(y / (11 - c)) + 30 * (((x // 9 + y // 13) % 2) - .5)
              + rng.normal(0, 3, (h, w)) for c in range(3)]
    return Image.fromarray(np.clip(np.stack(planes, 2), 0, 255).astype(np.uint8))


def build(name, *options):
    run("rq-pack", "build", "src", "-o", name, *options)
    members = {}
    for shard in json.load(open(f"{name}/dataset.json"))["shards"]:
        data = run("zstd", "-dc", f"{name}/{shard['file']}")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for m in tar:
                stem, ext = m.name.split(".", 1)
                members.setdefault(os.path.basename(stem), {})[ext] = tar.extractfile(m).read()
    return members


def picture(member):
    return Image.open(io.BytesIO(member.get("ppm") or member.get("pgm") or member["jpg"]))


def off(a, b):
    a, b = np.asarray(a).astype(int), np.asarray(b).astype(int)
    assert a.shape == b.shape, (a.shape, b.shape)
    return int(np.abs(a - b).max())


def read_raw(payload):
    """Planes of a KEY.rqp member, by the text of the format."""
    assert payload[:4] == b"RQPL" and payload[4] == 1 and not any(payload[20:24])
    kind, sub_x, sub_y = payload[5:8]
    width, height = int.from_bytes(payload[8:12], "little"), int.from_bytes(payload[12:16], "little")
    planes, at = [], 24
    for i in range(1 if kind == 1 else 3):
        w = -(-width // sub_x) if i and kind == 2 else width
        h = -(-height // sub_y) if i and kind == 2 else height
        d = np.frombuffer(payload, np.uint8, w * h, at).reshape(h, w).astype(np.int64)
        at += w * h
        p = np.zeros((h, w), np.int64)
        for y in range(h):
            for x in range(w):
                left, up = p[y, x - 1] if x else 0, p[y - 1, x] if y else 0
                corner = p[y - 1, x - 1] if x and y else 0
                mode = payload[16 + i]
                if y == 0:
                    guess = left
                elif x == 0 or mode == 2:
                    guess = up
                else:
                    guess = left if mode == 1 else left + up - corner
                p[y, x] = (d[y, x] + guess) & 255
        planes.append(p)
    assert at == len(payload)
    if payload[19]:
        assert kind == 3
        planes[0] = (planes[0] + planes[1]) & 255
        planes[2] = (planes[2] + planes[1]) & 255
    return planes


os.makedirs("src/c")
sources = {}
for i, (w, h) in enumerate([(160, 120), (121, 163), (97, 41), (40, 40), (333, 64)]):
    im = photo(w, h, i)
    for kind, args in (("444", dict(quality=95, subsampling=0)), ("420", dict(quality=90, subsampling=2)),
                       ("progressive", dict(quality=80, progressive=True)), ("gray", dict(quality=90)), ("png", {})):
        name = f"{kind}-{i}"
        path = f"src/c/{name}.{'png' if kind == 'png' else 'jpg'}"
        (im.convert("L") if kind == "gray" else im).save(path, **args)
        sources[name] = path
for o in range(1, 9):
    for w, h in ((64, 48), (49, 35)):
        path = f"src/c/turn{o}-{w}.jpg"
        exif = Image.Exif()
        exif[0x0112] = o
        photo(w, h, o).save(path, quality=95, subsampling=2 if w == 64 else 0, exif=exif)
        sources[f"turn{o}-{w}"] = path

exact = turned = reduced = 0
for options, upright in (([], False), (["--exif", "apply"], True)):
    members = build("ppm" + "".join(options), "--encode", "ppm", *options)
    raw = build("raw" + "".join(options), "--encode", "raw", *options)
    for name, path in sources.items():
        want = Image.open(path)
        want.load()
        want = ImageOps.exif_transpose(want) if upright else want
        got = picture(members[name])
        assert off(got, want) == 0, (name, options, off(got, want))
        exact += 1
        turned += upright and "turn" in name
        planes = read_raw(raw[name]["rqp"])
        if want.mode == "L" or path.endswith("png"):
            assert off(np.stack(planes, 2).squeeze(), want) == 0, name
        else:  # luma is the same however chroma is sampled
            ycc = Image.open(path)
            ycc.draft("YCbCr", ycc.size)
            ycc.load()
            assert ycc.mode == "YCbCr"
            y = ycc.getchannel(0)
            if upright:
                y.info["exif"] = b""
                o = Image.open(path).getexif().get(0x0112, 1)
                turns = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
                         6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}
                y = y.transpose(turns[o]) if o in turns else y
            assert off(planes[0], y) == 0, (name, off(planes[0], y))
            if "444" in name:
                for c in (1, 2):
                    assert off(planes[c], ycc.getchannel(c)) == 0, name

worst = 0
for options in (["--long", "100"], ["--short", "37"], ["--long", "63"], ["--short", "5"]):
    members = build("small" + "".join(options), "--encode", "ppm", *options)
    side = int(options[1])
    for name, path in sources.items():
        want = Image.open(path)
        want.load()
        w, h = want.size
        part = max(w, h) if options[0] == "--long" else min(w, h)
        if side < part:
            size = tuple(max(1, (2 * s * side + part) // (2 * part)) for s in (w, h))
            want = want.resize(size, Image.BICUBIC)
            reduced += 1
        worst = max(worst, off(picture(members[name]), want))
        assert worst <= 1, (name, options, worst)

# Made anew as JPEG: the size, 4:2:0, and close to what Pillow would have made.
members = build("jpeg", "--encode", "jpeg", "--long", "80", "--quality", "92")
for name, path in sources.items():
    got = picture(members[name])
    assert max(got.size) <= 80 and got.format == "JPEG", name
    want = Image.open(path).convert(got.mode)
    d = np.asarray(got).astype(float) - np.asarray(want.resize(got.size, Image.BICUBIC))
    assert np.sqrt((d * d).mean()) < 12, (name, np.sqrt((d * d).mean()))

print(f"{exact} pictures exact, {turned} of them upright, {reduced} reduced within {worst} level of Pillow "
      f"{Image.__version__}")
