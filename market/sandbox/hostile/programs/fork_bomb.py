"""Forks, leaves zombies, starts threads: each up to three times the limit."""

import os
import signal
import threading
import time

from hostile import limit, say, tried

MOST = 3 * limit("pids")
children = []


def fork(live):
    for _ in range(MOST):
        child = os.fork()
        if child == 0:
            time.sleep(live)
            os._exit(0)
        children.append(child)


def reap():
    while children:
        child = children.pop()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def start_threads():
    started = [threading.Thread(target=time.sleep, args=(1,), daemon=True) for _ in range(MOST)]
    for thread in started:
        try:
            thread.start()
        except RuntimeError:
            raise BlockingIOError(11, "can't start new thread") from None


say("1", tried(lambda: fork(30)))
reap()
say("2", tried(lambda: fork(0)))
reap()
say("69", tried(start_threads))
