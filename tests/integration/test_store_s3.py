"""A store in a bucket: obstore's own S3 client against a server on loopback that speaks the little S3 it needs."""

import re
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from eth_account import Account
from prometheus_client import CollectorRegistry

from heldout.devnet.anvil import free_port
from heldout.market.artifacts import ArtifactId, HttpStore, Stores
from heldout.market.artifacts.collecting import Collector
from heldout.market.artifacts.keeping import Keeping
from heldout.market.artifacts.s3 import open_bucket
from heldout.market.errors import BadInput, HashMismatch, StoreProblem
from heldout.market.terms import Address
from tests.servers import served

pytestmark = pytest.mark.integration
pytest.importorskip("obstore")

DATA = bytes(range(256)) * 4096
ID = ArtifactId(sha256(DATA).hexdigest())
OBJECTS: dict[str, bytes] = {}


class Bucket(BaseHTTPRequestHandler):
    """PUT, HEAD, GET (with ranges), DELETE and ListObjectsV2; whoever signs, signs well enough."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        OBJECTS[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        OBJECTS.pop(self.path, None)
        self._answer(204, b"")

    def do_POST(self) -> None:
        """DeleteObjects."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        bucket = self.path.partition("?")[0].rstrip("/")
        keys = re.findall("<Key>(.*?)</Key>", asked)
        for key in keys:
            OBJECTS.pop(f"{bucket}/{key}", None)
        told = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{told}</DeleteResult>".encode())

    def _list(self) -> None:
        path, _, query = self.path.partition("?")
        prefix = f"{path.rstrip('/')}/{parse_qs(query)['prefix'][0]}"
        about = "<LastModified>2027-01-15T08:00:00.000Z</LastModified><ETag>e</ETag>"
        found = "".join(
            f"<Contents><Key>{key[len(path.rstrip('/')) + 1 :]}</Key><Size>{len(data)}</Size>{about}</Contents>"
            for key, data in sorted(OBJECTS.items())
            if key.startswith(prefix)
        )
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode())

    def do_GET(self) -> None:
        if "list-type=2" in self.path:
            return self._list()
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


def test_what_nobody_keeps_leaves_the_bucket(bucket: str, tmp_path: Path) -> None:
    """Listed, found again after a crash, and removed, by obstore's own requests."""
    now = 1_800_000_000.0
    vault = open_bucket(bucket, tmp_path)
    kept, orphan = vault.put(DATA), vault.put(b"of an older store")
    OBJECTS["/bucket/some/prefix/blobs/readme.txt"] = b"somebody else's"
    keeping = Keeping(tmp_path / "pins.db", 1 << 30, 100, lambda: now)
    keeping.pin(kept, Address("0x" + "11" * 20), len(DATA))
    collector = Collector(keeping, vault, NoJobs(), CollectorRegistry(), lambda: now)
    collector.reconcile()
    assert dict(vault.ids()) == {kept: len(DATA), orphan: 17}
    now += 99
    keeping.pin(kept, Address("0x" + "11" * 20), len(DATA))
    now += 2
    assert collector.round() == 1
    assert list(OBJECTS) == [f"/bucket/some/prefix/blobs/{kept}", "/bucket/some/prefix/blobs/readme.txt"]
    keeping.close()


class NoJobs:
    """A chain on which nothing ever happened."""

    def head(self, confirmations: int = 0) -> SimpleNamespace:
        return SimpleNamespace(number=0)

    def events(self, first: int, last: int, *, names: object = None) -> list[object]:
        return []
