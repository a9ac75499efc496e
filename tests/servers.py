"""A `heldout … serve` of a test's own: started, awaited, and ended by the process id it was given."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import httpx2

from heldout.devnet.anvil import free_port
from heldout.market.artifacts import ArtifactId
from heldout.market.artifacts.permit import HEADER, write_permit
from heldout.market.signatures import Signer

_PATIENCE_S = 60


class StorePlace:
    """Where a store of a test's own lives, and the words that serve it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        limits = ["--max-blob", "4 MiB", "--quota", "64 MiB"]
        self.words = ["store", "serve", "--dir", str(folder / "store"), "--listen", f"127.0.0.1:{self.port}", *limits]
        self.log = folder / "log"

    def arriving(self) -> list[Path]:
        """What is on its way in."""
        return list((self.folder / "store" / "incoming").iterdir())

    def begin_upload(self, account: Signer, data: bytes, length: int | None = None) -> socket.socket:
        """A connection that has sent the head of an upload, and nothing of its body."""
        name, size = ArtifactId(sha256(data).hexdigest()), len(data) if length is None else length
        permit = write_permit(account, self.url, name, size, int(time.time()) + 60)
        headers = [f"Host: 127.0.0.1:{self.port}", f"{HEADER}: {permit}", f"Content-Length: {size}"]
        line = socket.create_connection(("127.0.0.1", self.port))
        line.sendall("\r\n".join([f"PUT /v1/blobs/{name} HTTP/1.1", *headers, "", ""]).encode())
        return line


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Until something that another process does has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


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
