"""Ignores every request to end, and keeps a core busy: 15, 16 and 17 in one."""

import signal
import time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):
    signal.signal(number, signal.SIG_IGN)
until = time.monotonic() + 30
while time.monotonic() < until:
    pass
