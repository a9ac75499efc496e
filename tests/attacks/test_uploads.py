"""Attacks on a store over its socket: slow, huge and broken uploads, and ids that are paths (threats 80 and 81)."""

import socket
from collections.abc import Iterator
from hashlib import sha256

import pytest
from eth_account import Account

from heldout.market.artifacts import ArtifactId, HttpStore
from heldout.market.artifacts.serving import HEAD_SECONDS, MAX_CONNECTIONS
from tests.servers import StorePlace, served, wait_until

pytestmark = pytest.mark.attack

ACCOUNT = Account.from_key("0x" + "01" * 32)
DATA = b"sound" * 1_000
ID = ArtifactId(sha256(DATA).hexdigest())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorePlace]:
    place = StorePlace(tmp_path_factory.mktemp("store"))
    with served(place.words, place.url, place.log):
        yield place


def test_an_upload_that_breaks_off_leaves_nothing(place: StorePlace) -> None:
    """Threat 80."""
    data = b"never whole" * 50_000
    line = place.begin_upload(ACCOUNT, data)
    line.sendall(data[: len(data) // 2])
    wait_until(lambda: bool(place.arriving()))
    line.close()
    wait_until(lambda: not place.arriving())


def test_an_upload_that_stalls_is_ended(place: StorePlace) -> None:
    """Threat 80: slow uploads (408), and the place they held is free again."""
    data = b"too slow" * 50_000
    line = place.begin_upload(ACCOUNT, data)
    line.sendall(data[:1000])
    line.settimeout(20)
    assert b" 408 " in line.recv(4096)
    wait_until(lambda: not place.arriving())
    line.close()


def test_a_bomb_is_refused_by_its_head_alone(place: StorePlace) -> None:
    """Threat 80: the answer comes before a byte of the body was sent."""
    line = place.begin_upload(ACCOUNT, b"bomb", length=1 << 40)
    line.settimeout(5)
    assert b" 413 " in line.recv(4096)
    line.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/blobs/../../../../etc/passwd",
        "/v1/blobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v1/blobs/..%5c..%5cetc",
        "/v1/blobs/" + "a" * 63 + "%00",
        "/v1/blobs/" + "A" * 64,
        "/v1/blobs/incoming",
        "/v1/blobs/%2flock",
        "//v1/blobs/.lock",
        "/v1/blobs/.lock",
        "/v1/blobs/uploads.db",
    ],
)
def test_no_path_leads_out_of_the_store(place: StorePlace, path: str) -> None:
    """Threat 81. Sent as they are: a client library would tidy them up."""
    line = socket.create_connection(("127.0.0.1", place.port))
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\nConnection: close\r\n\r\n".encode())
    line.settimeout(5)
    answer = b""
    while piece := line.recv(4096):
        answer += piece
    line.close()
    assert answer.split(b" ")[1] in (b"400", b"404")
    assert b"root:" not in answer


def test_connections_that_never_finish_a_request_are_closed_and_keep_nobody_out(place: StorePlace) -> None:
    """Threat 80: "slowloris", with more connections than the server takes at once, from five clients."""
    clients = [(f"127.0.0.{1 + number % 5}", 0) for number in range(MAX_CONNECTIONS + 10)]
    lines = [socket.create_connection(("127.0.0.1", place.port), source_address=each) for each in clients]
    for line in lines[::2]:
        line.sendall(b"GET /v1/blobs/")
    try:
        for line in lines[:MAX_CONNECTIONS]:
            line.settimeout(4 * HEAD_SECONDS)
            assert line.recv(1) == b""
        store = HttpStore(place.url, ACCOUNT)
        assert store.put(DATA) == ID
        assert store.get(ID) == DATA
        store.close()
    finally:
        for line in lines:
            line.close()
