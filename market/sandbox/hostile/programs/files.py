"""Writes where it must not, and runs what it wrote."""

import os
import shutil
import subprocess

from hostile import libc, say, tried


def append(path):
    with open(path, "ab", buffering=0) as file:
        file.write(b"x")


def written(paths):
    answers = {path: tried(lambda path=path: append(path)) for path in paths}
    return " ".join(path for path, answer in answers.items() if answer == "allowed") or "refused"


def dropped(place):
    path = f"{place}/dropped"
    shutil.copy("/bin/true", path)
    os.chmod(path, 0o6755)
    subprocess.run([path], check=False)  # however it ends: it was started


def hard_linked(path):
    os.link(path, "/out/linked")
    os.unlink("/out/linked")


def directories_left_open():
    """Directories that the runtime forgot to close behind itself (CVE-2024-21626)."""
    left = []
    for number in map(int, os.listdir("/proc/self/fd")):
        path = f"/proc/self/fd/{number}"
        if number > 2 and os.path.isdir(path) and not os.path.samefile(path, "/proc/self/fd"):
            left.append(os.readlink(path))
    return left


say("5", written(["/fill", "/usr/bin/python3", "/etc/passwd", "/etc/ld.so.preload", "/in/planted"]))
say("11", written(["/in/task/hostile.py", "/in/task/planted", "/in/data/planted"]))
say("35", tried(lambda: os.mkfifo("/out/pipe")) + " " + tried(lambda: os.mknod("/out/disk", 0o60600, os.makedev(8, 0))))
places = [place for place in ("/tmp", "/scratch", "/dev/shm", "/out") if tried(lambda p=place: dropped(p)) == "allowed"]
say("37", " ".join(places) or "refused")
sources = ("/etc/passwd", "/in/task/hostile.py")
links = [source for source in sources if tried(lambda s=source: hard_linked(s)) == "allowed"]
say("39", " ".join(links) or "refused")
say("58", written(["/proc/self/exe", "/proc/1/exe"]))
say("59", " ".join(directories_left_open()) or "none")
libc.umask(0)
say("60", tried(lambda: os.chown("/out", 0, 0)))
