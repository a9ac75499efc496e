"""Connections that lead to nothing: who never reads, or sends a byte now and then, keeps nobody out (threat 80)."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from eth_account import Account
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from heldout.market.artifacts import ArtifactId, DiskStore, gate, server, serving
from heldout.market.artifacts.allowance import Allowance
from heldout.market.artifacts.gate import Gate
from heldout.market.artifacts.keeping import Keeping
from heldout.market.artifacts.permit import HEADER, write_permit
from heldout.market.artifacts.throttle import Throttle
from tests.scenery import Scenery
from tests.servers import wait_until
from tests.service_app import listening

pytestmark = pytest.mark.attack

SMALL = 4_096
"""Bytes of the kernel's buffers, so that what is not read stays with the server."""


class Running:
    """An app behind the servers' own protocol, on a free port of loopback."""

    def __init__(self, app: object, bound: socket.socket) -> None:
        config = uvicorn.Config(app, http=serving.Hurried, log_config=None, proxy_headers=False)  # type: ignore[arg-type]
        self.port = bound.getsockname()[1]
        self.server = uvicorn.Server(config)

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        line.bind((source, 0))
        line.connect(("127.0.0.1", self.port))
        line.settimeout(20)
        return line

    def ask(self, head: str, *headers: str) -> socket.socket:
        line = self.connect()
        line.sendall("\r\n".join([f"{head} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers, "", ""]).encode())
        return line


@contextmanager
def running(app: object, bound: socket.socket) -> Iterator[Running]:
    place = Running(app, bound)
    thread = Thread(target=place.server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        wait_until(lambda: place.server.started)
        yield place
    finally:
        place.server.should_exit = True
        thread.join()


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        yield made


async def _answer(request: Request) -> PlainTextResponse:
    await request.body()
    return PlainTextResponse("x" * int(request.query_params.get("bytes", "2")))


APP = Starlette(routes=[Route("/", _answer, methods=["GET", "POST"])])


@pytest.mark.parametrize("size", [4 << 20, 48 << 10])
@pytest.mark.parametrize("after", ["close", "keep-alive"])
def test_who_does_not_read_is_cut_off(
    bound: socket.socket, monkeypatch: pytest.MonkeyPatch, size: int, after: str
) -> None:
    """Also of what is left when the connection is closed: the transport would wait for its reader for ever."""
    monkeypatch.setattr(serving, "UNREAD_SECONDS", 0.1)
    with running(APP, bound) as place, place.ask(f"GET /?bytes={size}", f"Connection: {after}"):
        wait_until(lambda: place.connections == 1)
        wait_until(lambda: place.connections == 0)


def test_who_reads_slowly_has_it_all(bound: socket.socket) -> None:
    with running(APP, bound) as place, place.ask("GET /?bytes=300000", "Connection: close") as line:
        read = b""
        while piece := line.recv(10_000):
            read += piece
        assert read.endswith(b"x" * 300_000)


def test_one_client_leaves_places_to_others(bound: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 60)
    with running(APP, bound) as place:
        lines = [place.connect() for _ in range(serving.MOST_FROM_ONE)]
        wait_until(lambda: place.connections == serving.MOST_FROM_ONE)
        with place.connect() as one_more, suppress(ConnectionResetError):
            assert one_more.recv(1) == b""
        with place.connect("127.0.0.2") as other:
            other.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\n\r\n".encode())
            assert other.recv(100).startswith(b"HTTP/1.1 200")
        for line in lines:
            line.close()


def _drip(line: socket.socket) -> bytes:
    """A byte again and again, until there is an answer: its head."""
    line.settimeout(0.05)
    heads: list[bytes] = []

    def answered() -> bool:
        with suppress(TimeoutError):
            heads.append(line.recv(4096))
            return True
        line.sendall(b" ")
        return False

    wait_until(answered)
    return heads[0]


def test_a_body_that_drips_is_ended(bound: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause is long, and the whole would take an hour."""
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.5)
    host = f"127.0.0.1:{bound.getsockname()[1]}"
    app = Gate(APP, hosts={host}, throttle=Throttle(100, 100, time.monotonic), body_limit=100_000)
    with running(app, bound) as place, place.ask("POST /", "Content-Length: 60000") as line:
        assert b" 408 " in _drip(line)


def test_an_upload_that_drips_is_ended(bound: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Long before the time is over that all of its announced bytes may take."""
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    host, account = f"127.0.0.1:{bound.getsockname()[1]}", Account.from_key("0x" + "01" * 32)
    name, size = ArtifactId(sha256(b"").hexdigest()), 1 << 30
    permit = write_permit(account, f"http://{host}", name, size, int(time.time()) + 60)
    settings = server.StoreSettings(f"http://{host}", {host}, 100, time.time, time.monotonic)
    with DiskStore(tmp_path) as store:
        keeping = Keeping(tmp_path / "pins.db", 1 << 31, 100, time.time)
        app = server.create_app(store, Allowance(tmp_path / "up.db", 1 << 31, time.time), keeping, settings)
        with running(app, bound) as place:
            line = place.ask(f"PUT /v1/blobs/{name}", f"{HEADER}: {permit}", f"Content-Length: {size}")
            assert b" 408 " in _drip(line)
            line.close()
        keeping.close()


def test_streams_that_are_opened_all_at_once_are_no_more_than_one_client_may_have(tmp_path: Path) -> None:
    """Nobody listens alone: counted when the place is asked for, not when the first event is."""
    with listening(tmp_path, Scenery()) as url:
        host = url.partition("://")[2]
        lines = [socket.create_connection(("127.0.0.1", int(host.partition(":")[2]))) for _ in range(80)]
        for line in lines:
            line.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        heads = [line.recv(12) for line in lines]
        assert (heads.count(b"HTTP/1.1 200"), heads.count(b"HTTP/1.1 429")) == (20, 60)
        for line in lines:
            line.close()

        def free_again() -> bool:
            with socket.create_connection(("127.0.0.1", int(host.partition(":")[2]))) as line:
                line.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                return line.recv(12) == b"HTTP/1.1 200"

        wait_until(free_again)
