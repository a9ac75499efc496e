"""Fills every place that can be written to, up to twice its limit, and clears it again."""

import os

from hostile import MIB, limit, say, tried

BLOCK = bytes(MIB)


def fill(path, size):
    """Write `size` bytes to one file. A write that the kernel cuts short is an answer too: the next is refused."""
    with open(path, "wb", buffering=0) as file:
        for _ in range(size // MIB + 1):
            file.write(BLOCK)


def fill_many(folder, size):
    for number in range(size // MIB + 1):
        with open(f"{folder}/part-{number}", "wb", buffering=0) as file:
            file.write(BLOCK)


def flood(folder, files):
    for number in range(files):
        with open(f"{folder}/empty-{number}", "wb"):
            pass


def sparse():
    with open("/out/sparse", "wb") as file:
        file.truncate(1 << 40)


def cleared(folder, answer):
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    return answer


for case, place in (("6", "/tmp"), ("7", "/scratch"), ("8", "/dev/shm")):
    say(case, cleared(place, tried(lambda place=place: fill(f"{place}/fill", 2 * limit("scratch_bytes")))))
say("9", cleared("/out", tried(lambda: fill("/out/fill", 2 * limit("disk_bytes")))))
say("10", cleared("/out", tried(lambda: fill_many("/out", 2 * limit("disk_bytes")))))
say("13", cleared("/out", tried(lambda: flood("/out", 2 * limit("disk_files")))))
say("61", cleared("/out", tried(sparse)))
say("12", cleared("/tmp", tried(lambda: flood("/tmp", 5000))))
