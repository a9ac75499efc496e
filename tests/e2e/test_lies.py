"""A market service that alters what parties tell each other (threat 54)."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from heldout.devnet.anvil import free_port
from heldout.market.carrier import REST_S
from heldout.market.lifecycle import Outcome
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.deep]

STRANGER = "0x" + "ee" * 20


class Liar:
    """In front of a service: of every letter that it hands out, forgeries come first."""

    def __init__(self, listen: str, upstream: str) -> None:
        self.told: dict[str, int] = {}
        """Forgeries by kind of letter."""
        liar = self

        class Request(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                kept = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
                url = upstream + self.path
                said = httpx2.request(self.command, url, content=body, headers=kept, trust_env=False, timeout=30)
                content = liar.altered(said.content)
                self.send_response(said.status_code)
                for name, value in {**said.headers, "content-length": str(len(content)), "connection": "close"}.items():
                    if name not in ("transfer-encoding", "content-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _pass_on

            def log_message(self, format: str, *args: object) -> None:
                pass

        address, _, port = listen.rpartition(":")
        self._server = ThreadingHTTPServer((address, int(port)), Request)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def altered(self, content: bytes) -> bytes:
        try:
            said = json.loads(content)
        except ValueError:
            return content
        if not isinstance(said, dict) or not isinstance(said.get("letters"), list):
            return content
        said["letters"] = [each for item in said["letters"] for each in (*self._forgeries(item), item)]
        return json.dumps(said).encode()

    def _forgeries(self, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """One for each value in the letter's body, one from another sender."""
        kind = item["letter"]["kind"]
        for name, value in item["letter"]["body"].items():
            forged = deepcopy(item)
            forged["letter"]["body"][name] = _other(value)
            yield forged
        yield {**item, "letter": {**item["letter"], "sender": STRANGER}}
        self.told[kind] = self.told.get(kind, 0) + 1


def _other(value: Any) -> Any:
    """A value of the same shape: a price a unit lower, a key or a signature with one digit changed."""
    if isinstance(value, dict):
        return {name: _other(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_other(each) for each in value]
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + 1
    text = str(value)
    return str(int(text) - 1) if text.isdecimal() and text != "0" else text[:-1] + ("1" if text[-1:] == "0" else "0")


@contextmanager
def lying(town: Town) -> Iterator[Liar]:
    """The service moves away, and a liar takes its address."""
    listen, port = urlsplit(town.devnet.network.service or "").netloc, free_port()
    town.devnet.processes.stop("service")
    moved = town.devnet.command(
        "market", "serve", "--db", str(town.devnet.state / "service.db"), "--listen", f"127.0.0.1:{port}",
        "--public-url", f"http://{listen}",
    )  # fmt: skip
    town.devnet.processes.start("service", moved)
    liar = Liar(listen, f"http://127.0.0.1:{port}")
    time.sleep(REST_S)  # who asked while nobody listened does not ask again before, and would announce its bid
    try:
        yield liar
    finally:
        liar.close()
        town.devnet.processes.stop("service")
        town.start("service")


def test_a_job_beside_a_service_that_alters_every_letter_ends_like_any_other(town: Town) -> None:
    """P4, P8: bids are signed, envelopes open or do not, hashes are on chain. A forgery costs a try, no more."""
    with lying(town) as liar, Kept(town):
        client, job = town.post("lies", **GOOD_ENOUGH)
        ended = town.settle(job)
        check_ended(town, ended, Outcome.MEASURED)
        weights = town.fetch(client, ended)
    assert {"bid", "training_keys", "held_out_keys", "half_b"} <= liar.told.keys(), liar.told
    lane = ended.lanes[0]
    assert lane.provider == town.devnet.keys("provider-0").address and lane.payout > 0
    assert len(ended.rounds[0].votes) == 3 and all(check.ok for check in client.verify(ended, {0: weights}))
