#!/usr/bin/env python3
"""Decoded pictures against Pillow's.

Pictures of every mode that Pillow writes, and unusual ones from $RQ_FIXTURES/odd where they are.
JPEG may differ by two levels (Pillow may carry another libjpeg), 16-bit samples by one (Pillow
cuts them, we round), all others must be equal.
"""
import glob
import os
import subprocess
import sys
import warnings

try:
    import numpy as np
    from PIL import Image, features
except ImportError:
    print("NumPy or Pillow is not installed")
    sys.exit(77)

from lib.programs import program

DRIVER = program("ingest")
NOTE_DEPTH, NOTE_CODEC_WARNING = 1 << 5, 1 << 10


def pixels(height, width, channels):
    rng = np.random.default_rng(7)
    yy, xx = np.mgrid[0:height, 0:width]
    wave = [128 + 90 * np.sin(xx / (5 + 3 * c)) * np.cos(yy / (11 - 2 * c)) for c in range(channels)]
    noisy = np.stack(wave, 2) + rng.normal(0, 12, (height, width, channels))
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def make_pictures():
    names = []

    def save(image, name, **options):
        image.save(name, **options)
        names.append(os.path.abspath(name))

    rgb = Image.fromarray(pixels(61, 83, 3))
    for sampling in range(3):
        for progressive in (False, True):
            save(rgb, "s%d%d.jpg" % (sampling, progressive), subsampling=sampling, quality=88,
                 progressive=progressive)
    save(rgb.convert("L"), "gray.jpg", quality=90)
    save(rgb.convert("CMYK"), "cmyk.jpg", quality=90)
    save(rgb.convert("YCbCr"), "ycc.jpg", quality=60)
    rgba = Image.fromarray(pixels(40, 50, 4))
    for mode in ("1", "L", "P", "RGB"):
        save(rgb.convert(mode), mode + ".png")
        save(rgb.convert(mode), mode + "-colours.png", optimize=True)
    save(rgba, "RGBA.png")
    save(rgba.convert("LA"), "LA.png")
    save(rgb.convert("P"), "keyed.png", transparency=3)
    save(rgb, "plain.ppm")
    save(rgb.convert("L"), "plain.pgm")
    return names


def reference(path):
    """What Pillow sees, as height x width x 3, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path)
            if image.mode.startswith("I"):  # 16-bit grey: convert() would clip
                wide = np.asarray(image).astype(np.int64)
                gray = (wide + 128) // 257
                return np.repeat(gray[:, :, None], 3, 2).astype(np.int16)
            return np.asarray(image.convert("RGB")).astype(np.int16)
    except Exception:  # whatever Pillow cannot read is no reference
        return None


def main():
    made = make_pictures()
    odd = os.path.join(os.environ.get("RQ_FIXTURES", ""), "odd")
    files = made + sorted(f for kind in ("jpeg", "png", "orientation")
                          for f in glob.glob(os.path.join(odd, kind, "**", "*.*"), recursive=True)
                          if os.path.isfile(f))
    done = subprocess.run([DRIVER], input="\n".join(files).encode() + b"\n", check=True,
                          stdout=subprocess.PIPE)
    lines = done.stdout.decode(errors="replace").splitlines()
    assert len(lines) == len(files)
    compared = worst = 0
    for i, (path, line) in enumerate(zip(files, lines)):
        status, codec, notes = line.split()[:3]
        if i < len(made):
            assert status == "OK", "%s: %s" % (path, line)
        if status != "OK" or int(notes) & NOTE_CODEC_WARNING:
            continue
        want = reference(path)
        assert want is not None or i >= len(made), path
        if want is None:
            continue
        name = "%d.ppm" % i if os.path.exists("%d.ppm" % i) else "%d.pgm" % i
        got = np.asarray(Image.open(name).convert("RGB")).astype(np.int16)
        assert got.shape == want.shape, "%s: %s, Pillow %s" % (path, got.shape, want.shape)
        off = int(np.abs(got - want).max())
        allowed = 2 if codec == "JPEG" else 1 if int(notes) & NOTE_DEPTH else 0
        assert off <= allowed, "%s differs by %d levels" % (path, off)
        worst, compared = max(worst, off), compared + 1
    print("%d pictures, largest difference %d, Pillow %s with libjpeg-turbo %s" %
          (compared, worst, Image.__version__, features.version("libjpeg_turbo")))
    assert compared >= len(made)


main()
