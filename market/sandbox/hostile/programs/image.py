"""Runs in an image that brings settings of its own, and says which of them took effect."""

import os

from hostile import say

say("72", "root" if os.getuid() == 0 else "nobody")
say("73", os.getcwd())
say("74", " ".join(name for name in ("LD_PRELOAD", "PYTHONSTARTUP", "EVIL") if os.environ.get(name)) or "none")
with open("/proc/1/cmdline", "rb") as file:
    say("75", "job" if b"image.py" in file.read() else "entrypoint")
