#!/usr/bin/env python3
"""What rq-ingest scan says of quirky files, against what Pillow that wrote them knows.

Orientation 1 to 8 in JPEG and PNG, a PNG with alpha under a .JPEG name, CMYK, grey, palette with
transparency, 16 bits, a cut file, and copies: verdict, notes, size, colour and duplicates.
"""
import hashlib
import io
import json
import os
import random
import subprocess
import sys

try:
    from PIL import Image
except ImportError:
    print("Pillow is not installed")
    sys.exit(77)

ORIENTATION = 0x0112
tool = os.path.join(os.environ["RQ_BIN"], "rq-ingest")
if not os.path.exists(tool):
    print("rq-ingest is not built")
    sys.exit(77)


def picture(mode="RGB", size=(60, 44), seed=1):
    rng = random.Random(seed)
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = bytes(min(255, (x * 3 + y * (2 + b)) % 200 + rng.randrange(40))
                 for y in range(size[1]) for x in range(size[0]) for b in range(bands))
    return Image.frombytes(mode, size, data)


def save(name, image, **options):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    image.save(name, **options)


def write_files():
    """Writes src/ and returns name -> what the report must say."""
    expected = {}

    def expect(name, verdict, notes=(), **fields):
        expected[name] = dict(fields, verdict=verdict, notes=sorted(notes))

    for value in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = value
        for codec in ("jpg", "png"):
            name = "turn/%d.%s" % (value, codec)
            save("src/" + name, picture(seed=value), exif=exif.tobytes())
            back = Image.open("src/" + name).getexif().get(ORIENTATION)
            assert back == value, "Pillow reads %s" % back
            expect(name, "ok", ["orientation-ignored"] if value > 1 else [], orientation=value,
                   width=60, height=44)
    save("src/odd/png.JPEG", picture("RGBA", seed=20), format="PNG")
    expect("odd/png.JPEG", "fixed", ["alpha", "extension"], codec="PNG", colour="RGB", components=3)
    save("src/odd/cmyk.jpg", picture("CMYK", seed=21))
    expect("odd/cmyk.jpg", "fixed", ["cmyk"], codec="JPEG", colour="CMYK", components=4)
    save("src/odd/gray.jpg", picture("L", seed=22))
    expect("odd/gray.jpg", "ok", ["gray"], colour="gray", components=1)
    palette = picture(seed=23).convert("P")
    save("src/odd/palette.png", palette, transparency=bytes([7] * 9))
    expect("odd/palette.png", "fixed", ["alpha", "palette"], colour="palette")
    save("src/odd/sixteen.png", Image.new("I;16", (9, 7), 40000))
    expect("odd/sixteen.png", "fixed", ["depth", "gray"], width=9, height=7)
    stream = io.BytesIO()
    picture(seed=24).save(stream, "JPEG")
    with open("src/odd/cut.jpg", "wb") as f:
        f.write(stream.getvalue()[:-600])
    expect("odd/cut.jpg", "rejected", status="TRUNCATED")
    with open("src/odd/trailing.jpg", "wb") as f:
        f.write(stream.getvalue() + b"behind the end")
    expect("odd/trailing.jpg", "ok", ["trailing-bytes"])
    save("src/odd/progressive.jpg", picture(seed=25), progressive=True)
    expect("odd/progressive.jpg", "ok", colour="YCbCr")
    with open("src/odd/progressive.jpg", "rb") as f, open("src/turn/copy.jpg", "wb") as g:
        g.write(f.read())
    expect("turn/copy.jpg", "ok")
    return expected


def scan(*options):
    done = subprocess.run([tool, "scan", "src", "--report", "report.jsonl", "-q"] + list(options),
                          stdout=subprocess.PIPE)
    with open("report.jsonl", encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    return done.returncode, {e["name"]: e for e in lines[:-1]}, lines[-1]


def main():
    expected = write_files()
    code, got, last = scan()
    assert code == 1, "a rejected image gives exit code 1, not %d" % code
    assert sorted(got) == sorted(expected)
    for name, want in expected.items():
        entry = dict(got[name], notes=sorted(got[name]["notes"]))
        if want["verdict"] == "rejected":
            want.pop("notes")
        wrong = {k: (entry[k], v) for k, v in want.items() if entry[k] != v}
        assert not wrong, "%s: %s" % (name, wrong)
        assert entry["bytes"] == os.path.getsize("src/" + name)
        assert bool(entry["reason"]) == (entry["verdict"] != "ok")
    assert last["images"] == len(expected) and last["rejected"] == 1

    contents = {}
    for name in sorted(expected):  # reading order of a folder
        with open("src/" + name, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        first = contents.setdefault(digest, name)
        assert got[name]["duplicate_of"] == (None if first == name else first), name
    assert last["duplicates"] == len(expected) - len(contents) == last["conflicts"]
    hashes = {got[name]["hash"] for name in got}
    assert len(hashes) == len(contents)

    _, got, last = scan("--exif", "apply")
    turned = [n for n in got if n.startswith("turn/") and "turned" in got[n]["notes"]]
    assert len(turned) == 14 and all(got[n]["verdict"] == "fixed" for n in turned)
    print("%d files as Pillow wrote them" % len(expected))


main()
