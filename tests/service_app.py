"""The market service over ASGI or over HTTP, with an index of some scenery and no chain behind it."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy import Engine
from starlette.testclient import TestClient

from heldout.market.money import parse_tokens
from heldout.market.service.app import ServiceSettings, create_app
from heldout.market.settings import Network
from tests.builders import CHAIN_ID, MARKET
from tests.databases import database_of
from tests.scenery import Scenery, Told, indexed

URL = "http://127.0.0.1:8450"
NETWORK = Network("test net", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())


class Standing(Told):
    """A chain that has nothing to add, and on which every signature is good."""

    def parameters(self) -> SimpleNamespace:
        return SimpleNamespace(minimum_fee=parse_tokens("0.01"), seat_stake=parse_tokens("1000"))

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        return True


@contextmanager
def service(
    folder: Path, scenery: Scenery, network: Network = NETWORK, *, url: str = URL, **more: Any
) -> Iterator[tuple[TestClient, Engine]]:
    """A client and the database behind it; `more` is of ServiceSettings."""
    engine = database_of(folder / "service.db")
    indexed(engine, scenery)
    hosts = {urlsplit(url).netloc}
    settings = ServiceSettings(url, hosts, 10_000, bytes(32), lambda: scenery.now, lambda: 0.0, keep_s=0, **more)
    app = create_app(network, Standing(scenery), engine, settings)  # type: ignore[arg-type]
    with TestClient(app, base_url=url) as client:
        yield client, engine
    engine.dispose()


@contextmanager
def listening(folder: Path, scenery: Scenery, *, rate: float = 10_000) -> Iterator[str]:
    """The same on a free port of loopback, in a thread: its address."""
    engine = database_of(folder / "service.db")
    indexed(engine, scenery)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        url = f"http://{host}"
        settings = ServiceSettings(url, {host}, rate, bytes(32), time.time, time.monotonic)
        app = create_app(NETWORK, Standing(scenery), engine, settings)  # type: ignore[arg-type]
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        thread = Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield url
        server.should_exit = True
        thread.join()
    engine.dispose()
