# SPDX-License-Identifier: Apache-2.0
"""ImageNet's releases written by Python's own archive modules, read by rq-ingest: the labels are
those that torchvision's ImageNet class derives, by the ids of meta.mat for val and by sorted
WordNet ids for train. 60 classes in a shuffled order of ids; meta.mat is written here from the
format's description, with doubles kept as bytes, words and doubles as MATLAB does."""
import gzip
import io
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

tool = os.path.join(os.environ["RQ_BIN"], "rq-ingest")
if not os.path.exists(tool):
    print("rq-ingest is not built")
    sys.exit(77)

CLASSES, TRAIN, VAL = 60, 240, 300
rng = random.Random(7)
wnids = [f"n{n:08d}" for n in rng.sample(range(10**8), CLASSES)]  # place: ILSVRC id - 1
place = {w: i for i, w in enumerate(sorted(wnids))}
assert wnids != sorted(wnids)
truth = [rng.randrange(CLASSES) + 1 for _ in range(VAL)]


def picture(i):
    return b"P6\n1 1\n255\n" + struct.pack("<I", i)[:3]


train = {}
for i in range(TRAIN):
    w = wnids[i % CLASSES]
    train[f"{w}/{w}_{rng.randrange(99999)}.JPEG"] = picture(i)
val = {f"ILSVRC2012_val_{i + 1:08d}.JPEG": picture(1000 + i) for i in range(VAL)}
val_names = list(val)
rng.shuffle(val_names)


# ---- meta.mat -------------------------------------------------------------------------------
def element(kind, data):
    if 0 < len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def array(kind, dims, body, name=b""):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<2i", *dims))
    return element(14, head + element(1, name) + body)


def number(v):
    if v != int(v) or v < 0:
        body = element(9, struct.pack("<d", v))
    elif v < 256:
        body = element(2, struct.pack("<B", int(v)))
    elif v < 65536:
        body = element(4, struct.pack("<H", int(v)))
    else:
        body = element(6, struct.pack("<I", int(v)))
    return array(6, (1, 1), body)


def text(s):
    return array(4, (1, len(s)), element(4, s.encode("utf-16-le")))


def meta(compress):
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height",
              "num_train_images"]
    inner = [(CLASSES + 1 + i, f"n{10**8 - 1 - i:08d}", 3) for i in range(20)]
    rows = [(i + 1, w, 0) for i, w in enumerate(wnids)] + inner
    body = element(5, struct.pack("<i", 32)) + element(1, b"".join(f.encode().ljust(32, b"\0") for f in fields))
    for ident, wnid, children in rows:
        numbers = b"".join(struct.pack("<d", 1.5 + c) for c in range(children))
        body += number(ident) + text(wnid) + text("caf\u00e9, a place") + text("with a gloss")
        body += number(children) + array(6, (1, children), element(9, numbers)) + number(4) + number(1300)
    table = array(2, (len(rows), 1), body, b"synsets")
    if compress:
        packed = zlib.compress(table)
        table = struct.pack("<II", 15, len(packed)) + packed
    return b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(116) + b"\0" * 8 + b"\x00\x01IM" + table


devkit = {"ILSVRC2012_devkit_t12/readme.txt": b"read me",
          "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt":
              "".join(f"{t}\n" for t in truth).encode(),
          "ILSVRC2012_devkit_t12/data/meta.mat": meta(True)}
solution = "ImageId,PredictionString\n" + "".join(
    f"{n[:-5]},{wnids[truth[int(n[15:23]) - 1] - 1]} 1 2 3 4 \n" for n in val_names)
mapping = "".join(f"{w} some words, and more\n" for w in sorted(wnids))


# ---- archives -------------------------------------------------------------------------------
def tar(path, files, mode="w", kind=tarfile.GNU_FORMAT):
    with tarfile.open(path, mode, format=kind) as t:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def folder(root, files):
    for name, data in files:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)


def inner(w):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for name, data in train.items():
            if name.startswith(w):
                info = tarfile.TarInfo(name.split("/")[1])
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    return b.getvalue()


def val_class(name):
    return wnids[truth[int(name[15:23]) - 1] - 1]


flat_val = [(n, val[n]) for n in val_names]
folder("kit.d", devkit.items())
with open("kit.d/ILSVRC2012_devkit_t12/data/meta.mat", "wb") as f:
    f.write(meta(False))
tar("kit.tar.gz", devkit.items(), "w:gz")
with open("kit.tar", "wb") as f:
    f.write(gzip.decompress(open("kit.tar.gz", "rb").read()))
tar("train.tar", [(w + ".tar", inner(w)) for w in wnids])
folder("class.d", train.items())
folder("tars.d", [(w + ".tar", inner(w)) for w in wnids])
for name, kind in (("u", tarfile.USTAR_FORMAT), ("p", tarfile.PAX_FORMAT), ("g", tarfile.GNU_FORMAT)):
    tar(f"val-{name}.tar", flat_val, kind=kind)
tar("val.tar.bz2", flat_val, "w:bz2")
tar("val.tar.xz", flat_val, "w:xz")
folder("val.d", flat_val)
folder("prepared", [(f"{val_class(n)}/{n}", d) for n, d in flat_val])
suffixed = [(f"{n[:-5]}_{val_class(n)}.JPEG", d) for n, d in flat_val]
tar("val_images.tar.gz", suffixed, "w:gz")
names = sorted(train)
os.mkdir("hf")
for part in range(3):
    tar(f"hf/train_images_{part}.tar.gz",
        [(f"{n.split('/')[1][:-5]}_{n.split('/')[0]}.JPEG", train[n]) for n in names[part::3]], "w:gz")
os.rename("val_images.tar.gz", "hf/val_images.tar.gz")
kaggle = [("LOC_val_solution.csv", solution.encode()), ("LOC_synset_mapping.txt", mapping.encode())]
kaggle += [("ILSVRC/Data/CLS-LOC/train/" + n, d) for n, d in train.items()]
kaggle += [("ILSVRC/Data/CLS-LOC/val/" + n, d) for n, d in flat_val]
folder("kaggle", kaggle)
with zipfile.ZipFile("kaggle.zip", "w", zipfile.ZIP_DEFLATED) as z:
    for name, data in kaggle:
        z.writestr(name, data)
order = list(train)
rng.shuffle(order)
for shard in range(4):
    members = []
    for i, n in enumerate(order[shard::4]):
        key = f"{shard}-{i:05d}"
        members += [(f"{key}.ppm", train[n]), (f"{key}.json", json.dumps({"label": place[n[:9]]}).encode())]
    os.makedirs("wds", exist_ok=True)
    tar(f"wds/train-{shard:06d}.tar", members)
folder("listed", [("a/" + n, d) for n, d in train.items()])
with open("listed/train.csv", "w") as f:
    f.write("path,label\n" + "".join(f"a/{n},{n[:9]}\n" for n in order))

# ---- what is read ---------------------------------------------------------------------------
want_train = sorted((n, place[n[:9]], len(d)) for n, d in train.items())
want_val = sorted((f"{val_class(n)}/{n}", place[val_class(n)], len(d)) for n, d in flat_val)
labels_only = sorted(place[n[:9]] for n in train)


def scan(args, want=None):
    run = subprocess.run([tool, "scan", *args, "--report", "r.jsonl", "-q"], capture_output=True, text=True)
    assert run.returncode == 0, (args, run.returncode, run.stderr)
    lines = [json.loads(line) for line in open("r.jsonl")][:-1]
    got = sorted((line["name"], line["label"], line["bytes"]) for line in lines)
    if want is None:
        assert sorted(g[1] for g in got) == labels_only, args
    else:
        assert got == want, (args, [(g, w) for g, w in zip(got, want) if g != w][:3], len(got), len(want))
    assert all(line["verdict"] in ("ok", "fixed") for line in lines), args
    os.remove("r.jsonl")


n_sources = 0
for args in (["train.tar"], ["class.d"], ["tars.d"], ["hf", "--split", "train"], ["kaggle", "--split", "train"],
             ["kaggle.zip", "--split", "train"]):
    scan(args, want_train)
    n_sources += 1
for source in ("val-u.tar", "val-p.tar", "val-g.tar", "val.tar.bz2", "val.tar.xz", "val.d"):
    for labels in ("kit.d", "kit.d/ILSVRC2012_devkit_t12", "kit.tar.gz", "kit.tar", "kaggle/LOC_val_solution.csv"):
        scan([source, "--labels", labels], want_val)
        n_sources += 1
for args in (["prepared"], ["hf", "--split", "val"], ["hf/val_images.tar.gz"], ["kaggle", "--split", "val"],
             ["kaggle.zip", "--split", "val"]):
    scan(args, want_val)
    n_sources += 1
scan(["wds"])
scan(["listed/train.csv"], sorted((f"{n[:9]}/a/{n}", place[n[:9]], len(d)) for n, d in train.items()))
print(f"{n_sources + 2} sources agree")
