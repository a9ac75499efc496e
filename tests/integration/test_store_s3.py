"""A store in a bucket: obstore's own S3 client against a server on loopback that speaks the little S3 it needs."""

import re
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from eth_account import Account

from heldout.devnet.anvil import free_port
from heldout.market.artifacts import ArtifactId, HttpStore, Stores
from heldout.market.errors import BadInput, HashMismatch, StoreProblem
from tests.servers import served

pytestmark = pytest.mark.integration
pytest.importorskip("obstore")

DATA = bytes(range(256)) * 4096
ID = ArtifactId(sha256(DATA).hexdigest())
OBJECTS: dict[str, bytes] = {}


class Bucket(BaseHTTPRequestHandler):
    """PUT, HEAD and GET (with ranges) of whole objects; whoever signs, signs well enough."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        OBJECTS[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        data = OBJECTS.get(self.path)
        if data is None or "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
            return self._answer(404 if data is None else 403, b"")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self._answer(200, data)
        start, end = int(wanted[1]), int(wanted[2] or len(data) - 1) + 1
        return self._answer(206, data[start:end], f"bytes {start}-{min(end, len(data)) - 1}/{len(data)}")

    def _answer(self, status: int, body: bytes, span: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Fri, 15 Jan 2027 08:00:00 GMT")
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    OBJECTS.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    settings = {"ENDPOINT_URL": endpoint, "ALLOW_HTTP": "true", "ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret"}
    for name, value in {**settings, "REGION": "here"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield "s3://bucket/some/prefix"
    server.shutdown()
    server.server_close()


def test_artifacts_lie_in_the_bucket_under_their_hash(bucket: str, tmp_path: Path) -> None:
    store = Stores.of([bucket])
    (tmp_path / "file").write_bytes(DATA)
    assert store.put(tmp_path / "file") == store.put(DATA) == ID
    assert list(OBJECTS) == [f"/bucket/some/prefix/blobs/{ID}"]
    assert store.get(ID) == DATA
    assert b"".join(store.open(ID, 10, 20)) == DATA[10:20]
    assert not store.has(ArtifactId("0" * 64))


def test_a_bucket_is_not_believed_either(bucket: str) -> None:
    """Threat 50."""
    store = Stores.of([bucket])
    store.put(DATA)
    OBJECTS[next(iter(OBJECTS))] = b"other bytes"
    with pytest.raises(HashMismatch):
        store.get(ID)


def test_a_bucket_that_does_not_answer_is_a_problem_that_may_pass(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreProblem) as problem:
        Stores.of([bucket]).size(ID)
    assert problem.value.retryable


def test_an_address_that_is_no_bucket_is_refused() -> None:
    with pytest.raises(BadInput):
        Stores.of(["s3://"])


def test_a_store_server_can_keep_its_artifacts_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["store", "serve", "--dir", str(tmp_path / "spool"), "--s3", bucket, "--listen", f"127.0.0.1:{port}"]
    with served(words, url, tmp_path / "log"):
        store = HttpStore(url, Account.from_key("0x" + "01" * 32))
        assert store.put(DATA) == ID
        assert store.get(ID) == DATA
        assert b"".join(store.open(ID, 1, 5)) == DATA[1:5]
        store.close()
    assert OBJECTS[f"/bucket/some/prefix/blobs/{ID}"] == DATA
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []
