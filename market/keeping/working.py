"""Work beside a server: in a thread that ends with it, and ends it if the work cannot go on."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def in_a_thread(work: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    """Runs `work` until `stop` is set, which is done at the end. A server whose work failed is asked to stop: one that
    takes keys and releases none would cost bonds."""

    def run() -> None:
        try:
            work()
        except Exception:
            log.exception("the keeper cannot go on")
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run, name="keeper")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
