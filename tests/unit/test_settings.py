"""The network file: what is wrong with it is said in words, by its first fault."""

import json
from typing import Any

import pytest

from heldout.market.errors import BadInput
from heldout.market.settings import Network

GOOD: dict[str, Any] = {
    "name": "devnet",
    "chain_id": 31337,
    "genesis": "0x00",
    "rpc": ["http://127.0.0.1:8545"],
    "market": "0x01",
    "token": "0x02",
    "deploy_block": 1,
    "code_hash": "0x03",
    "stores": [],
}


def test_a_file_is_read_as_it_was_written() -> None:
    network = Network.from_json(json.dumps(GOOD))
    assert Network.from_json(network.to_json()) == network


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "market"}), "lacks 'market'"),
        (json.dumps({**GOOD, "colour": "red"}), "has the unknown key 'colour'"),
        (json.dumps({**GOOD, "rpc": "http://127.0.0.1:8545"}), "has a wrong kind of value for 'rpc'"),
        (json.dumps({**GOOD, "chain_id": "31337"}), "has a wrong kind of value for 'chain_id'"),
        (json.dumps({**GOOD, "confirmations": -1}), "has -1 for 'confirmations'"),
        (json.dumps({**GOOD, "rpc": [1]}), "names 1, which is no address"),
        (json.dumps({**GOOD, "stores": ["http://127.0.0.1:1", "s3://["]}), "names 's3://\\[', which is no address"),
        (json.dumps({**GOOD, "service": "http://" + "a" * 64}), "which is no address"),
        (json.dumps({**GOOD, "service": "http://host:99999"}), "which is no address"),
    ],
)
def test_the_first_fault_is_named(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        Network.from_json(text)
    assert refused.value.code == "bad_network_file" and refused.value.hint
