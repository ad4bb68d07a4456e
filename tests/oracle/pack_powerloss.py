# SPDX-License-Identifier: Apache-2.0
"""Power cuts. Every call that changes the disk is recorded while a dataset is built, replaced,
merged and repaired. Then, for each moment in between, two disks are worked out that a power cut
could have left: one with nothing but what was flushed, names included, and one where all names
had reached the disk but no byte that was not flushed. On both, whatever has a final name must be
whole, and the same command run again must end in the dataset of an undisturbed run. The order
write, fsync, rename, fsync of the folder is asserted for each file that gets a final name."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

source = os.environ["RQ_SOURCE"]
if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK):
    room = tempfile.TemporaryDirectory(dir="/dev/shm", prefix="rq-power-")
    os.chdir(room.name)
shim = os.path.abspath("shim.so")
cc = os.environ.get("CC", "cc").split()
if not shutil.which(cc[0]) or subprocess.run(
        cc + ["-O1", "-shared", "-fPIC", "-o", shim, f"{source}/tests/crash/faultshim.c", "-ldl"]).returncode:
    print("no compiler for the shim that records system calls")
    sys.exit(77)


def run(command, ok=(0,), **env):
    p = subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert p.returncode in ok, (command, p.returncode, p.stdout)
    return p.stdout


def record(command):
    """The operations of a command, as lists of words."""
    if os.path.exists("log"):
        os.unlink("log")
    run(command, RQ_FAULT="any:0:EIO", RQ_FAULT_LOG=os.path.abspath("log"), LD_PRELOAD=shim,
        ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
    return [line.split() for line in open("log")]


class Disk:
    """Files by name, content and what of it was flushed; folders' names and which were flushed."""

    def __init__(self, folder):
        self.files, self.inodes = {}, {}  # path -> file; inode -> file
        self.durable_names = {}           # path -> file
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            path = os.path.abspath(f"{folder}/{name}")
            data = open(path, "rb").read()
            f = {"data": bytearray(data), "durable": data, "dirty": False}
            self.files[path] = self.durable_names[path] = f
            self.inodes[os.stat(path).st_ino] = f

    def do(self, op):
        kind, rest = op[0], op[1:]
        if kind == "open":
            path = os.path.abspath(rest[1])
            if path not in self.files:
                self.files[path] = {"data": bytearray(), "durable": b"", "dirty": False}
            self.inodes[int(rest[0])] = self.files[path]
        elif kind == "write":
            f, at, data = self.inodes[int(rest[0])], int(rest[1]), bytes.fromhex(rest[2])
            f["data"].extend(bytes(max(0, at - len(f["data"]))))
            f["data"][at:at + len(data)] = data
            f["dirty"] = True
        elif kind == "truncate":
            f = self.inodes[int(rest[0])]
            f["dirty"] |= len(f["data"]) != int(rest[1])
            del f["data"][int(rest[1]):]
        elif kind == "fsync":
            f = self.inodes[int(rest[0])]
            f["durable"], f["dirty"] = bytes(f["data"]), False
        elif kind == "fsyncdir":
            folder = os.path.abspath(rest[0])
            inside = lambda p: os.path.dirname(p) == folder
            self.durable_names = {p: f for p, f in self.durable_names.items() if not inside(p)}
            self.durable_names.update({p: f for p, f in self.files.items() if inside(p)})
        elif kind in ("rename", "link"):
            a, b = map(os.path.abspath, rest)
            self.files[b] = self.files.pop(a) if kind == "rename" else self.files[a]
        elif kind == "unlink":
            self.files.pop(os.path.abspath(rest[0]), None)
        else:
            assert kind == "mkdir", op

    def leave(self, folder, names_first):
        """The folder as a power cut leaves it."""
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        top = os.path.abspath(folder)
        for path, f in (self.files if names_first else self.durable_names).items():
            if os.path.dirname(path) == top:
                with open(path, "wb") as out:
                    out.write(f["durable"])


def final(name):
    return not name.startswith(".") and not name.endswith(".new")


def assert_order(ops, work):
    """Whoever gets a name that others read has been flushed, and the folder is flushed behind."""
    disk, waiting = Disk(start(work)), set()
    for op in ops:
        disk.do(op)
        if op[0] in ("rename", "link"):
            f = disk.files[os.path.abspath(op[2])]
            assert not f["dirty"], ("a name for what was not flushed", work, op)
            if final(os.path.basename(op[2])):
                waiting.add(op[2])
        elif op[0] == "fsyncdir":
            waiting = {p for p in waiting if os.path.dirname(os.path.abspath(p)) != os.path.abspath(op[1])}
        # dataset.json speaks of the others: their names are on the disk before it gets its own.
        if op[0] == "rename" and op[2].endswith("/dataset.json"):
            assert waiting <= {op[2]}, ("the manifest came before its shards", work, waiting)
    assert not waiting, ("names that were never flushed", work, waiting)


def start(work):
    shutil.rmtree("d", ignore_errors=True)
    if work in begin:
        shutil.copytree(begin[work], "d")
    return "d"


def digest():
    return {n: hashlib.sha256(open(f"d/{n}", "rb").read()).hexdigest() for n in sorted(os.listdir("d"))}


run(["rq-demo", "pictures", "-q", "-o", "pictures", "--count", "10", "--val", "0", "--size", "24", "--no-oddities"])
build = ["rq-pack", "build", "pictures/train", "--encode", "ppm", "--shard-size", "8KiB", "-q", "--no-progress",
         "--threads", "1"]
run(build + ["-o", "whole"])
run(["rq-pack", "build", "pictures/train", "--encode", "ppm", "--level", "9", "-q", "-o", "old"])
for i in (1, 2):
    run(build + ["-o", "parts", "--part", f"{i}/2"])
shutil.copytree("whole", "hurt")
for name in os.listdir("hurt"):
    if name.endswith(".zst"):
        os.truncate(f"hurt/{name}", os.path.getsize(f"hurt/{name}") - 50)
os.unlink("hurt/dataset.json")

begin = {"replace": "old", "merge": "parts", "repair": "hurt"}
commands = {"build": build + ["-o", "d"], "replace": build + ["-o", "d", "--force"],
            "merge": ["rq-pack", "merge", "d", "-q"], "repair": ["rq-pack", "repair", "d", "-q"]}
cuts = 0
for work, command in commands.items():
    start(work)
    ops = record(command)
    want = digest()
    assert_order(ops, work)
    for missing in ("fsync", "fsyncdir"):  # would it be noticed?
        try:
            assert_order([op for op in ops if op[0] != missing], work)
        except AssertionError:
            continue
        sys.exit(f"{work} without {missing} passes for safe")
    states = []
    disk = Disk(start(work))
    for i in range(len(ops) + 1):
        for names_first in (False, True):
            disk.leave("d", names_first)
            left = digest()
            if (work, tuple(left.items())) in states:
                continue
            states.append((work, tuple(left.items())))
            cuts += 1
            if "dataset.json" in left:
                run(["rq-pack", "verify", "d", "-q"])
            if work != "repair":
                for name in left:
                    if name.endswith(".tar.zst"):
                        run(["rq-pack", "verify", f"d/{name}", "-q"])
            run(command)
            assert digest() == want, (work, i, names_first, set(digest().items()) ^ set(want.items()))
        if i < len(ops):
            disk.do(ops[i])
print(f"{cuts} disks that a power cut could leave, all continued to the same datasets")
