# SPDX-License-Identifier: Apache-2.0
"""`dct` members read by what FORMAT.md, section 10, says of them, with numpy alone: an exact
inverse DCT of the coefficients is within 1 level of what Pillow (libjpeg) shows of the JPEG, and
the transform of 10.4 is what rq-pack's own decoder gives, to the bit."""
import io
import os
import re
import subprocess
import sys
import tarfile
from math import cos, pi, sqrt

try:
    import numpy as np
    from PIL import Image
except ImportError as e:
    print(e)
    sys.exit(77)

from lib.programs import program

ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, (k // 8 if (k // 8 + k % 8) % 2 else k % 8)))


def ceil_div(a, b):
    return -(-a // b)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        part = self.data[self.at:self.at + n]
        assert len(part) == n
        self.at += n
        return part


def symbols(data, n, width):
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    b = 1 << width
    return bits[:n * b].reshape(n, b) @ (1 << np.arange(b))


class Streams:
    """Escapes and signs, in the order of decoding."""

    def __init__(self, escapes, signs, n_signs):
        self.escapes = [Reader(e) for e in escapes]
        bits = np.unpackbits(np.frombuffer(signs, np.uint8), bitorder="little")
        assert not bits[n_signs:].any()
        self.signs, self.next = bits[:n_signs], 0

    def values(self, plane, width):
        m = plane.astype(int)
        cap = (1 << (1 << width)) - 1
        for i in np.flatnonzero(m == cap):
            e = self.escapes[width].take(1)[0]
            m[i] = cap + e if e < 255 else int.from_bytes(self.escapes[width].take(2), "little")
        at = np.flatnonzero(m)
        s = self.signs[self.next:self.next + len(at)]
        self.next += len(at)
        m[at] = np.where(s == 1, -m[at], m[at])
        return m

    def empty(self):
        return self.next == len(self.signs) and all(r.at == len(r.data) for r in self.escapes)


def read_payload(data):
    """[(coefficients [rows][columns][64], natural order; table)] and the factors H, V."""
    r = Reader(data)
    head = r.take(32)
    assert head[:4] == b"RQD1" and head[11] == 0
    w, h = int.from_bytes(head[4:6], "little"), int.from_bytes(head[6:8], "little")
    n = 1 if head[8] == 1 else 3
    parts = [int.from_bytes(head[12 + 4 * i:16 + 4 * i], "little") for i in range(5)]
    comps = [r.take(4) for _ in range(n)]
    factors = [(c[0] >> 4, c[0] & 15) for c in comps]
    hmax, vmax = max(f[0] for f in factors), max(f[1] for f in factors)
    tables = []
    for _ in range(head[9]):
        t = r.take(128)
        q = np.zeros(64, int)
        for k in range(64):
            q[ZIGZAG[k]] = t[k] | t[64 + k] << 8
        tables.append(q)
    widths = r.take(head[10])
    planes = []  # (component, class or -1, frequency, group)
    for i, c in enumerate(comps):
        groups = r.take(1 + 63 * c[2])
        planes.append((i, -1, 0, groups[0]))
        planes += [(i, t, k, groups[63 * t + k]) for t in range(c[2]) for k in range(1, 64)]
    shape, maps = [], []
    for i, c in enumerate(comps):
        bx, by = ceil_div(w * factors[i][0], 8 * hmax), ceil_div(h * factors[i][1], 8 * vmax)
        units = ceil_div(bx, 2) * by
        shape.append((bx, by))
        m = np.zeros(units, int)
        if c[2] > 1:
            pairs = np.frombuffer(r.take(ceil_div(units, 2)), np.uint8)
            m = np.stack([pairs & 15, pairs >> 4], 1).reshape(-1)[:units]
        assert m.max() < c[2]
        maps.append(m)
    found = {}
    for g in range(head[10]):
        for i, t, k, group in planes:
            if group == g + 1:
                count = shape[i][0] * shape[i][1] if t < 0 else 2 * np.count_nonzero(maps[i] == t)
                found[i, t, k] = (symbols(r.take(ceil_div(count << widths[g], 8)), count, widths[g]), widths[g])
    s = Streams([r.take(b) for b in parts[:4]], r.take(ceil_div(parts[4], 8)), parts[4])
    assert r.take(576) == bytes(576) and r.at == len(data)
    out = []
    for i, c in enumerate(comps):
        bx, by = shape[i]
        coef = np.zeros((by, ceil_div(bx, 2) * 2, 64), int)
        if (i, -1, 0) in found:
            d = s.values(*found[i, -1, 0]).reshape(by, bx)
            d[:, 0] = np.cumsum(d[:, 0])
            coef[:, :bx, 0] = np.cumsum(d, 1)
        for t in range(c[2]):
            blocks = np.flatnonzero(np.repeat(maps[i] == t, 2))
            flat = coef.reshape(-1, 64)
            order = sorted((found[i, t, k][1], k) for k in range(1, 64) if (i, t, k) in found)
            for first in range(0, len(blocks), 64):
                for width, k in order:
                    part = found[i, t, k][0][first:first + 64]
                    flat[blocks[first:first + 64], ZIGZAG[k]] = s.values(part, width)
        out.append((coef[:, :bx], tables[c[1]]))
    assert s.empty()
    return w, h, factors, out


def tile(blocks):
    rows, columns = blocks.shape[:2]
    return blocks.reshape(rows, columns, 8, 8).transpose(0, 2, 1, 3).reshape(rows * 8, columns * 8)


def exact_samples(coef, q):
    basis = np.array([[(sqrt(.125) if u == 0 else .5) * cos((2 * x + 1) * u * pi / 16) for u in range(8)]
                      for x in range(8)])
    f = (coef * q).reshape(*coef.shape[:2], 8, 8).astype(float)
    return tile(np.clip(np.rint(basis @ f @ basis.T + 128), 0, 255).astype(int))


def wrap(x):
    return (x + 32768 & 65535) - 32768


def mul(x, c):
    return wrap(x * c + 16384 >> 15)


def transform(x, rows):
    x0, x1, x2, x3, x4, x5, x6, x7 = x
    t10, t11, t13, d = x0 + x4, x0 - x4, x2 + x6, wrap(x2 - x6)
    t12 = d + mul(d, 13573) - t13
    e = [wrap(v) for v in (t10 + t13, t11 + t12, t11 - t12, t10 - t13)]
    z13, z10, z11, z12 = x5 + x3, wrap(x5 - x3), x1 + x7, wrap(x1 - x7)
    y, g = wrap(z10 + z12), wrap(z11 - z13)
    o0, z5 = z11 + z13, 2 * y + mul(y, -4989)
    o1 = z5 - 2 * z10 - mul(z10, 20091) - o0
    o2 = g + mul(g, 13573) - o1
    o3 = z5 - z12 - mul(z12, 2700) - o2
    o = [wrap(v) for v in (o0, o1, o2, o3)]
    last = (lambda v: np.clip(v, -32768, 32767)) if rows else wrap
    return [last(a + b) for a, b in zip(e, o)] + [last(a - b) for a, b in list(zip(e, o))[::-1]]


def our_samples(coef, q):
    a = [1] + [sqrt(2) * cos(k * pi / 16) for k in range(1, 8)]
    s = np.array([[int(16384 * a[v] * a[u] + .5) for u in range(8)] for v in range(8)])
    x = mul(wrap(wrap(coef * q * 16)).reshape(*coef.shape[:2], 8, 8), s)
    x = np.stack(transform([x[..., v, :] for v in range(8)], False), -2)
    x[..., 0] = wrap(x[..., 0] + 8224)
    x = np.stack(transform([x[..., u] for u in range(8)], True), -1)
    return tile(np.clip(x >> 6, 0, 255))


def photo(w, h, seed):
    y, x = np.mgrid[0:h, 0:w].astype(float)
    rng = np.random.default_rng(seed)
    planes = [127 + 90 * np.sin(x / (7 + c) + seed) * np.cos(y / (11 - c)) + 40 * (((x // 9 + y // 13) % 2) - .5)
              + rng.normal(0, 4 + c, (h, w)) for c in range(3)]
    return Image.fromarray(np.clip(np.stack(planes, 2), 0, 255).astype(np.uint8))


# name: size, what Pillow saves with
files = {
    "444": ((150, 110), dict(quality=95, subsampling=0)),
    "422": ((131, 77), dict(quality=85, subsampling=1)),
    "420": ((301, 203), dict(quality=75, subsampling=2)),
    "prog": ((99, 130), dict(quality=90, subsampling=2, progressive=True)),
    "grey": ((75, 61), dict(quality=98)),
    "tiny": ((1, 1), dict(quality=50)),
    "coarse": ((64, 64), dict(quality=3, subsampling=0)),
}
DRIVER = program("dct")
os.makedirs("src")
for i, (name, (size, options)) in enumerate(files.items()):
    picture = photo(*size, i)
    (picture.convert("L") if name == "grey" else picture).save(f"src/{name}.jpg", **options)

subprocess.run(["rq-pack", "build", "src", "-o", "set", "--encode", "dct"], check=True, stdout=subprocess.DEVNULL)
shard = [f for f in os.listdir("set") if f.endswith(".tar.zst")]
content = subprocess.run(["zstd", "-dc", "set/" + shard[0]], check=True, stdout=subprocess.PIPE).stdout
seen = 0
with tarfile.open(fileobj=io.BytesIO(content)) as tar:
    for m in tar:
        if not m.name.endswith(".rqd"):
            continue
        name = re.split(r"[./]", m.name)[-2].split("+")[0]
        payload = tar.extractfile(m).read()
        w, h, factors, components = read_payload(payload)
        jpeg = Image.open(f"src/{name}.jpg")
        assert (w, h) == jpeg.size
        if jpeg.mode == "RGB":
            jpeg.draft("YCbCr", jpeg.size)
        planes = {level: subprocess.run([DRIVER, level], input=payload, check=True, stdout=subprocess.PIPE).stdout
                  for level in ("c", "avx2", "avx512")}
        shown, at = np.asarray(jpeg).astype(int).reshape(h, w, -1), 0
        for i, (coef, q) in enumerate(components):
            assert list(q) == list(np.array(jpeg.quantization[0 if i == 0 else max(jpeg.quantization)])), (name, i)
            ours, exact = our_samples(coef, q), exact_samples(coef, q)
            assert abs(ours - exact).max() <= 1, (name, i, abs(ours - exact).max())
            ph = ceil_div(h * factors[i][1], factors[0][1])
            pw = ceil_div(w * factors[i][0], factors[0][0])
            for level, p in planes.items():
                assert p[at:at + ph * pw] == ours[:ph, :pw].astype(np.uint8).tobytes(), (name, i, level)
            at += ph * pw
            if factors[i] == factors[0]:  # Pillow enlarges the others
                d = abs(ours[:h, :w] - shown[..., i]).max()
                assert d <= 1, f"{name}: component {i} is off by {d}"
        seen += 1
assert seen == len(files), f"{seen} of {len(files)} pictures are dct"
print(f"{seen} payloads read")
