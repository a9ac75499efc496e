"""A `heldout … serve` of a test's own: started, awaited, and ended by the process id it was given."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

_PATIENCE_S = 30


@contextmanager
def served(words: Sequence[str], url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m heldout WORDS`, once it says that it is ready; killed at the end if it still runs."""
    with log.open("ab") as file:
        child = subprocess.Popen([sys.executable, "-m", "heldout", *words], stdout=file, stderr=file)
    try:
        _await(child, url, log)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _await(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end and child.poll() is None:
        with suppress(httpx2.HTTPError):
            if httpx2.get(f"{url}/readyz", trust_env=False, timeout=2).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"{url} is not ready: {log.read_text()}")
