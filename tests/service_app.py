"""The market service over ASGI, with an index of the small market and no chain behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from starlette.testclient import TestClient

from heldout.market.service.app import ServiceSettings, create_app
from heldout.market.service.database import open_database
from heldout.market.settings import Network
from tests.builders import CHAIN_ID, MARKET
from tests.scenery import Scenery, Told, indexed

URL = "http://127.0.0.1:8450"
NETWORK = Network("test net", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())


class Standing(Told):
    """A chain that has nothing to add, and on which every signature is good."""

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        return True


@contextmanager
def service(folder: Path, scenery: Scenery, network: Network = NETWORK) -> Iterator[tuple[TestClient, Engine]]:
    """A client and the database behind it."""
    engine = open_database(str(folder / "service.db"))
    indexed(engine, scenery)
    settings = ServiceSettings(URL, {"127.0.0.1:8450"}, 10_000, bytes(32), lambda: scenery.now, lambda: 0.0)
    app = create_app(network, Standing(scenery), engine, settings)  # type: ignore[arg-type]
    with TestClient(app, base_url=URL) as client:
        yield client, engine
    engine.dispose()
