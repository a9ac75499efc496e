"""`heldout chain`: what it refuses before the chain is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import PROVIDERS, TERMS, EventLog, terms_values

from heldout.market.errors import BadInput
from heldout.market.lifecycle import JobState, fold
from heldout.market.settings import Network
from heldout.requester_cli.client import Client
from heldout.requester_cli.lineage import parse_percent
from heldout.requester_cli.main import dispatch

NETWORK = Network("test", 31337, "0x0", ("http://127.0.0.1:1",), "0x" + "33" * 20, "0x" + "44" * 20, 0, "0x0", ())


def accepted() -> JobState:
    """A job whose two lanes are bound."""
    log = EventLog()
    log("Posted", requester=TERMS.requester, terms=terms_values())
    bids = [{"provider": provider, "price": 1, "wrapKey": bytes(32)} for provider in PROVIDERS[:2]]
    log("Accepted", bids=bids, seatCount=24)
    (job,) = fold(log.events).values()
    return job


@pytest.mark.parametrize(("text", "bps"), [("0", 0), ("2.5", 250), ("2.5 %", 250), ("20%", 2000), ("0.01", 1)])
def test_a_share_is_read_in_basis_points(text: str, bps: int) -> None:
    assert parse_percent(text) == bps


@pytest.mark.parametrize("text", ["", "-1", "20.01", "0.001", "a lot", "NaN", "Infinity", "1e-9"])
def test_a_share_that_no_terms_could_promise_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a share from 0 to 20 %"):
        parse_percent(text)


def test_a_lane_that_is_none_is_refused() -> None:
    for lane in (-1, 2):
        with pytest.raises(BadInput, match="2 lane") as refused:
            Client(NETWORK).claim(accepted(), lane)
        assert refused.value.code == "no_such_lane"


def test_a_network_without_a_registry_says_so() -> None:
    """Files older than the registry are read, and their markets have artifacts all the same."""
    client = Client(Network.from_json(NETWORK.to_json()))
    with pytest.raises(BadInput) as refused:
        client.take_artifact("0x00")
    assert refused.value.code == "no_value_chain"


def test_a_deployment_never_overwrites_a_network_file(tmp_path: Path) -> None:
    out, specification = tmp_path / "network.json", tmp_path / "market.toml"
    page = (Path(__file__).resolve().parents[2] / "docs" / "deploying.md").read_text()
    specification.write_text(page.split("```toml\n")[1].split("```")[0])
    out.write_text("{}")
    with pytest.raises(BadInput) as refused:
        dispatch(["network", "deploy", str(specification), "--rpc", "http://127.0.0.1:1", "--out", str(out)])
    assert refused.value.code == "file_exists" and out.read_text() == "{}"


def test_a_network_file_without_the_registry_s_key_is_still_one() -> None:
    raw: dict[str, Any] = json.loads(NETWORK.to_json())
    del raw["value_chain"]
    assert Network.from_json(json.dumps(raw)).value_chain is None
