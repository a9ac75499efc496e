"""Leaves traps under names that a careless collector would follow, open, wait for or unpack."""

import json
import os
import pickle
import socket
import struct
import tarfile
import zipfile

os.chdir("/out")


def leave(name, data):
    with open(name, "wb") as file:
        file.write(data)


def tensors(header, data=b""):
    return struct.pack("<Q", len(header)) + header + data


class Bomb:
    def __reduce__(self):
        return os.system, ("touch /tmp/unpickled",)


def entry(name, shape=(1,), begin=0, end=4):
    """One tensor of a header, as text: a header that lies cannot come out of a dictionary."""
    fields = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    return f"{json.dumps(name)}:{json.dumps(fields)}"


def described(*entries, data=bytes(4)):
    return tensors(("{" + ",".join(entries) + "}").encode(), data)


os.symlink("/etc/shadow", "link-to-secret")
os.symlink("/", "link-to-root")
os.symlink("loop", "loop")
os.mkdir("folder")
with socket.socket(socket.AF_UNIX) as way:
    way.bind("socket")
with open("sparse", "wb") as file:
    file.truncate(12 << 20)
leave("x" * 255, b"")
leave("new\nline\x1b[2J", b"")
with tarfile.open("tar", "w") as tar:
    info = tarfile.TarInfo("../../etc/passwd")
    tar.addfile(info)
with zipfile.ZipFile("zip", "w", zipfile.ZIP_DEFLATED) as bomb:
    bomb.writestr("zeros", bytes(8 << 20))
leave("pickle", pickle.dumps(Bomb()))
leave("empty", b"")
leave("huge-header", struct.pack("<Q", 1 << 60) + b"{}")
leave("deep", tensors(b"[" * 100000))
leave("duplicate", described(entry("w"), entry("w")))
leave("overlap", described(entry("w"), entry("v")))
leave("outside", described(entry("w", (9,), 0, 36)))
leave("overflow", described(entry("w", (1 << 32, 1 << 32))))
leave("negative", described(entry("w", (-1,))))
leave("trailing", described(entry("w"), data=bytes(9)))
leave("traversal", described(entry("../../x")))
leave("none", described(data=b""))
leave("nan", described(entry("w"), data=struct.pack("<f", float("nan"))))
for _ in range(300):
    os.mkdir("d")
    os.chdir("d")
os.chmod(".", 0)
