# SPDX-License-Identifier: Apache-2.0
"""The bytes printed in pack/FORMAT.md are those of the golden shard, all of them, and an
independent reading of that document's tables agrees with the file."""
import os
import re
import struct
import sys

root = os.environ["RQ_SOURCE"]
data = open(f"{root}/tests/golden/shard-v1.tar.zst", "rb").read()
shown = bytearray()
for line in open(f"{root}/pack/FORMAT.md"):
    m = re.match(r"    ([0-9a-f]{8}): ((?:[0-9a-f]{2} )*[0-9a-f]{2})  ", line)
    if m:
        assert int(m[1], 16) == len(shown), line
        shown += bytes.fromhex(m[2])
assert bytes(shown) == data, "the dump in FORMAT.md is not the golden shard"

# Sections 4 and 5, read from the end of the file.
frames, descriptor, magic = struct.unpack("<IBI", data[-9:])
n = frames - 2
table = len(data) - (17 + 8 * frames)
index = table - (48 + 64 * n + 32)
head = struct.unpack("<II4sIIIIIQII", data[index:index + 48])
assert head[:8] == (0x184D2A50, 72 + 64 * n, b"RQIX", 1, 0, n, 64, index - head[8]) and head[10] == 0
at, masks = 0, 0
for i in range(n):
    e = struct.unpack("<QIIQQiIIBBHIIII", data[index + 48 + 64 * i:index + 112 + 64 * i])
    assert e[0] == at and e[9] in (0, 1) and e[10] == 0
    assert struct.unpack("<II", data[table + 8 + 8 * i:table + 16 + 8 * i]) == e[1:3]
    at += e[1]
    masks += e[9]
assert at == head[8] and masks == head[9]
assert struct.unpack("<Q", data[table - 32:table - 24])[0] == len(data)

try:
    import xxhash
except ImportError:
    print("layout agrees; the Python package xxhash is not installed, so hashes were not recomputed")
    sys.exit(0)
hashes = struct.unpack("<QQQ", data[table - 24:table])
spans = [data[head[8]:index], data[table:], data[index:table - 8]]
assert hashes == tuple(xxhash.xxh3_64_intdigest(s) for s in spans)
