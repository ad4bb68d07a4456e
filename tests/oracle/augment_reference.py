#!/usr/bin/env python3
"""Views against an implementation of their own in NumPy, double precision.

Written from the definitions, not from the C code: Philox and every draw, the crop, the filters as
dense matrices, masks at full resolution, colour operations through HSV, the blur with all its taps.
Draws have to be equal; bytes may differ by one level, by 0.06 on average (views are made in fixed
point). Where Pillow is there, the antialiased filter is also compared with Pillow's own resize.
"""
import math
import subprocess
import sys

try:
    import numpy as np
except ImportError:
    print("NumPy is not installed")
    sys.exit(77)

from lib.programs import program

DRIVER = program("view")
M32 = 0xFFFFFFFF
SEED, EPOCH, SAMPLES = 0x123456789ABCDEF0, 9, 3
MASK, CROP, FLIP, JITTER, GRAY, BLUR, SOLARIZE, FILL = range(8)
f32 = np.float32

RECIPES = {  # groups: views, size, least and largest area; p of blur and solarise in A and B
    "relicv2": dict(groups=[(4, 224, 0.14, 1.0), (2, 96, 0.05, 0.14)], colour=True, flip=0.5),
    "byol": dict(groups=[(2, 224, 0.08, 1.0)], colour=True, flip=0.5),
    "linear": dict(groups=[(1, 224, 0.08, 1.0)], colour=False, flip=0.5),
    "eval": dict(groups=[(1, 224, 0.08, 1.0)], colour=False, flip=0.0, centre=0.875),
}


class Random:
    """Philox4x32-10, one stream for each operation of each view."""

    def __init__(self, sample, view, op):
        self.counter = [0, view | op << 8 | (sample >> 32 & 0xFFFF) << 16, sample & M32, EPOCH]
        self.left = []

    def u32(self):
        if not self.left:
            c, k = list(self.counter), [SEED & M32, SEED >> 32]
            for _ in range(10):
                a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [b >> 32 ^ c[1] ^ k[0], b & M32, a >> 32 ^ c[3] ^ k[1], a & M32]
                k = [k[0] + 0x9E3779B9 & M32, k[1] + 0xBB67AE85 & M32]
            self.counter[0] += 1
            self.left = c
        return self.left.pop(0)

    def real(self):
        return f32((self.u32() >> 8) / 2.0**24)

    def between(self, low, high):
        low, high = f32(low), f32(high)
        return f32(low + f32(f32(high - low) * self.real()))

    def below(self, n):
        while True:
            m = self.u32() * n
            if m & M32 >= n or m & M32 >= (1 << 32) % n:
                return m >> 32


def chance(rng, p):
    return bool(rng.real() <= f32(p)) and p > 0


def draw(recipe, sample, view, width, height, p_mask, fill):
    """The parameters of one view, in the order in which the driver prints them."""
    group = 0 if view < recipe["groups"][0][0] else 1
    within = view - (recipe["groups"][0][0] if group else 0)
    _, size, low, high = recipe["groups"][group]
    rng = Random(sample, view, CROP)
    if "centre" in recipe:
        w = h = int(recipe["centre"] * min(width, height))
        x, y = (width - w + 1) // 2, (height - h + 1) // 2
    else:
        low, high = float(f32(low)), float(f32(high))
        area = width * height * (low + (high - low) * float(rng.real()))
        narrow, wide = math.log(float(f32(3 / 4))), math.log(float(f32(4 / 3)))
        ratio = math.exp(narrow + (wide - narrow) * float(rng.real()))
        w = max(1, min(width, round(math.sqrt(area * ratio))))
        h = max(1, min(height, round(math.sqrt(area / ratio))))
        x, y = rng.below(width - w + 1), rng.below(height - h + 1)
    flip = chance(Random(sample, view, FLIP), recipe["flip"])
    masked = group == 0 and chance(Random(sample, view, MASK), p_mask)
    colour = (0.0, 0.0, 0.0)
    if masked and fill == 1:
        colour = tuple(float(f32(c)) for c in (0.485, 0.456, 0.406))
    elif masked and fill == 2:
        colour = (float(Random(sample, view, FILL).real()),) * 3
    p = dict(size=size, x=x, y=y, w=w, h=h, flip=flip, masked=masked, fill=colour, jitter=False,
             order=[0, 1, 2, 3], brightness=0.0, contrast=1.0, saturation=1.0, hue=0.0, gray=False,
             sigma=0.0, solarize=False)
    if recipe["colour"]:
        draw_colour(p, sample, view, within % 2)
    return p


def draw_colour(p, sample, view, preset):
    rng = Random(sample, view, JITTER)
    p["jitter"] = chance(rng, 0.8)
    if p["jitter"]:
        p["brightness"] = float(rng.between(-f32(0.4), 0.4))
        p["contrast"] = float(rng.between(f32(1) - f32(0.4), f32(1) + f32(0.4)))
        p["saturation"] = float(rng.between(f32(1) - f32(0.2), f32(1) + f32(0.2)))
        p["hue"] = float(rng.between(-f32(0.1), 0.1))
        for i in (3, 2, 1):
            j = rng.below(i + 1)
            p["order"][i], p["order"][j] = p["order"][j], p["order"][i]
    p["gray"] = chance(Random(sample, view, GRAY), 0.2)
    rng = Random(sample, view, BLUR)
    if chance(rng, (1.0, 0.1)[preset]):
        p["sigma"] = float(rng.between(0.1, 2.0))
    p["solarize"] = chance(Random(sample, view, SOLARIZE), (0.0, 0.2)[preset])


def keys(x):
    t, a = np.abs(x), -0.5
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def filter_matrix(start, length, window, outputs, cubic, antialias):
    """Rows are outputs, columns samples; [start, start + length) is what the outputs cover."""
    scale = length / outputs
    centre = (start + (np.arange(outputs) + 0.5) * scale - 0.5)[:, None]
    j = np.arange(window)[None, :]
    if antialias and scale > 1:
        x = (j - centre) / scale
    elif cubic:  # a table of 1024 steps
        base = np.floor(centre)
        x = np.round((centre - base) * 1024) / 1024 - (j - base)
    else:
        x = j - centre
    weight = keys(x) if cubic else np.maximum(0, 1 - np.abs(x))
    return weight / weight.sum(1, keepdims=True)


def mask_of_plane(mask, shape, sub, width, height):
    """Is each sample's centre foreground? Bilinear, edges repeated."""
    def place(n, full, mask_n):
        u = np.clip((np.arange(n) + 0.5) * sub * mask_n / full - 0.5, 0, mask_n - 1)
        low = np.floor(u).astype(int)
        return low, np.minimum(low + 1, mask_n - 1), u - low
    y0, y1, fy = place(shape[0], height, mask.shape[0])
    x0, x1, fx = place(shape[1], width, mask.shape[1])
    m = mask.astype(float)
    rows = m[y0] * (1 - fy)[:, None] + m[y1] * fy[:, None]
    return rows[:, x0] * (1 - fx) + rows[:, x1] * fx > 127.5


def fill_planes(kind, rgb):
    r, g, b = (255 * c for c in rgb)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    if kind == 3:
        return [round(c) for c in (r, g, b)]
    return [round(luma), round(128 + (b - luma) / 1.772), round(128 + (r - luma) / 1.402)]


def crop(planes, kind, sub, mask, p, size, cubic, antialias):
    height, width = planes[0].shape
    out = []
    for c, plane in enumerate(planes):
        s = sub if c > 0 and kind == 2 else 1
        if p["masked"]:
            front = mask_of_plane(mask, plane.shape, s, width, height)
            plane = np.where(front, plane, fill_planes(kind, p["fill"])[c])
        x0, y0 = p["x"] // s, p["y"] // s
        x1 = min(plane.shape[1], -(-(p["x"] + p["w"]) // s))
        y1 = min(plane.shape[0], -(-(p["y"] + p["h"]) // s))
        across = filter_matrix(p["x"] / s - x0, p["w"] / s, x1 - x0, size, cubic, antialias)
        down = filter_matrix(p["y"] / s - y0, p["h"] / s, y1 - y0, size, cubic, antialias)
        out.append(down @ plane[y0:y1, x0:x1].astype(float) @ across.T)
    if kind == 2:
        y, cb, cr = out[0], out[1] - 128, out[2] - 128
        out = [y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb]
    if kind == 1:
        out = out * 3
    rgb = np.clip(np.stack(out, -1) / 255, 0, 1)
    return rgb[:, ::-1] if p["flip"] else rgb


def hsv(rgb):
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    v, c = rgb.max(-1), rgb.max(-1) - rgb.min(-1)
    d = np.where(c > 0, c, 1)
    h = np.where(v == r, (g - b) / d, np.where(v == g, 2 + (b - r) / d, 4 + (r - g) / d)) / 6 % 1
    return np.where(c > 0, h, 0), np.where(v > 0, c / np.where(v > 0, v, 1), 0), v


def rgb_of(h, s, v):
    def channel(n):
        k = (n + h * 6) % 6
        return v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.stack([channel(5), channel(3), channel(1)], -1)


def blur(x, sigma, size):
    radius = int(size / 10 / 2)
    k = np.exp(-np.arange(-radius, radius + 1) ** 2 / (2 * sigma * sigma))
    k /= k.sum()
    y = np.pad(x, ((radius, radius), (radius, radius), (0, 0)))
    y = sum(k[i] * y[i:i + size] for i in range(2 * radius + 1))
    return sum(k[i] * y[:, i:i + size] for i in range(2 * radius + 1))


def colour(x, p, size):
    for op in p["order"] if p["jitter"] else []:
        if op == 0:
            x = x + p["brightness"]
        elif op == 1:
            mean = x.mean((0, 1))
            x = (x - mean) * p["contrast"] + mean
        elif op == 2:
            h, s, v = hsv(x)
            x = rgb_of(h, np.clip(s * p["saturation"], 0, 1), v)
        else:
            h, s, v = hsv(x)
            x = rgb_of((h + p["hue"]) % 1, s, v)
        x = np.clip(x, 0, 1)
    if p["gray"]:
        x = np.repeat((x @ np.array([0.2989, 0.5870, 0.1140]))[..., None], 3, -1)
    if p["sigma"] > 0:
        x = blur(x, p["sigma"], size)
    if p["solarize"]:
        x = np.where(x < 0.5, x, 1 - x)
    return x


def picture(kind, width, height, sub, seed):
    """Smooth shapes with texture; planes of the kind's sizes."""
    rng, planes = np.random.default_rng(seed), []
    for c in range(1 if kind == 1 else 3):
        s = sub if c and kind == 2 else 1
        h, w = -(-height // s), -(-width // s)
        yy, xx = np.mgrid[0:h, 0:w] * s
        wave = np.sin(xx / (9 + 5 * c)) * np.cos(yy / (13 - 3 * c)) * (60 if c == 0 else 90)
        plane = 128 + wave + rng.normal(0, 25 if c == 0 or kind == 3 else 4, (h, w))
        planes.append(np.clip(np.round(plane), 0, 255).astype(np.uint8))
    return planes


def run_case(name, width, height, kind, sub, antialias, cubic, p_mask, fill):
    recipe = RECIPES[name]
    planes = picture(kind, width, height, sub, width)
    yy, xx = np.mgrid[0:31, 0:47]
    mask = np.clip(330 - 0.9 * ((yy - 14) ** 2 * 2 + (xx - 25) ** 2), 0, 255).astype(np.uint8)
    raw = b"".join(p.tobytes() for p in planes) + mask.tobytes()
    done = subprocess.run([DRIVER, name, str(width), str(height), str(kind), str(sub),
                           "47", "31", str(int(antialias)), "0" if cubic else "1", str(p_mask),
                           str(fill), str(SAMPLES), "views.bin"], input=raw, check=True,
                          stdout=subprocess.PIPE)
    lines, data = done.stdout.decode().splitlines(), np.fromfile("views.bin", np.uint8)
    views, at, worst, errors = sum(g[0] for g in recipe["groups"]), 0, 0, []
    for i, line in enumerate(lines):
        sample, view = i // views << 30, i % views
        p = draw(recipe, sample, view, width, height, p_mask, fill)
        got = [float.fromhex(t) if "x" in t else int(t) for t in line.split()]
        want = [p["x"], p["y"], p["w"], p["h"], p["flip"], p["masked"], p["masked"], p["jitter"],
                *p["order"], p["brightness"], p["contrast"], p["saturation"], p["hue"], p["gray"],
                p["sigma"], p["solarize"], *p["fill"]]
        assert got == want, "%s view %d: drew\n%s, not\n%s" % (name, i, got, want)
        size = p["size"]
        x = crop(planes, kind, sub, mask, p, size, cubic, antialias)
        x = np.round(np.clip(colour(x, p, size), 0, 1) * 255)
        y = data[at:at + size * size * 3].reshape(size, size, 3).astype(float)
        at += size * size * 3
        errors.append(np.abs(x - y).mean())
        worst = max(worst, np.abs(x - y).max())
    assert len(lines) == views * SAMPLES and at == data.size
    print("%-8s %dx%d kind %d/%d antialias %d cubic %d p_mask %g fill %d: max %g, mean %.5f" %
          (name, width, height, kind, sub, antialias, cubic, p_mask, fill, worst, max(errors)))
    assert worst <= 1 and max(errors) < 0.06
    return lines, data


def compare_with_pillow():
    try:
        from PIL import Image
    except ImportError:
        print("Pillow is not installed: its resize is not compared")
        return
    recipe, width, height = RECIPES["linear"], 700, 500
    planes = picture(3, width, height, 1, width)
    lines, data = run_case("linear", width, height, 3, 1, True, True, 0, 0)
    for i, line in enumerate(lines):
        p = draw(recipe, i << 30, 0, width, height, 0, 0)
        box = (p["x"], p["y"], p["x"] + p["w"], p["y"] + p["h"])
        rgb = [np.asarray(Image.fromarray(c.astype(np.float32)).crop(box).resize(
            (224, 224), Image.BICUBIC)) for c in planes]
        rgb = np.clip(np.stack(rgb, -1), 0, 255)
        rgb = rgb[:, ::-1] if p["flip"] else rgb
        y = data[i * 224 * 224 * 3:(i + 1) * 224 * 224 * 3].reshape(224, 224, 3)
        error = np.abs(rgb - y)
        assert error.max() < 0.53, "Pillow's resize differs by %g levels" % error.max()
    print("Pillow's antialiased bicubic agrees to half a level")


def main():
    for case in (("relicv2", 500, 375, 2, 2, False, True, 0.5, 0),
                 ("relicv2", 333, 251, 2, 2, False, True, 1.0, 1),
                 ("relicv2", 161, 240, 3, 1, False, True, 0.5, 2),
                 ("relicv2", 640, 480, 2, 2, True, True, 0.1, 0),
                 ("byol", 97, 61, 2, 4, False, True, 0, 0),
                 ("byol", 200, 300, 1, 1, False, False, 0, 0),
                 ("linear", 320, 240, 2, 1, True, False, 0, 0),
                 ("linear", 7, 5, 2, 2, False, True, 0, 0),
                 ("eval", 500, 375, 2, 2, False, True, 0, 0)):
        run_case(*case)
    compare_with_pillow()


main()
