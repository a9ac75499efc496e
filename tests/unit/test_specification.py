"""What a market is deployed with (P1.5): read strictly, from the very example of docs/deploying.md."""

import re
from pathlib import Path

import pytest

from heldout.market.deployment.creation import create_address
from heldout.market.deployment.specification import NO_BEACON, read_specification
from heldout.market.errors import BadInput
from heldout.market.money import ONE_TOKEN

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deploying.md").read_text()
EXAMPLE = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]


def test_the_page_s_example_is_read_exactly() -> None:
    found = read_specification(EXAMPLE)
    assert (found.name, found.seat_stake, found.minimum_fee) == ("example", 1000 * ONE_TOKEN, ONE_TOKEN)
    assert (found.beacon, found.confirmations, found.stores) == (NO_BEACON, 12, ("https://store.example",))
    assert (found.limits.bid.least, found.limits.bid.greatest) == (60, 7 * 86_400)
    assert found.limits.operations_per_second == 10**9


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "example"', "", "name is missing"),
        ('name = "example"', "name = 1", "name is of kind str"),
        ('name = "example"', 'name = "a"\ncolour = "red"', "colour is not known"),
        ('token = "0x', 'token = "0', "token is an address"),
        ('seat_stake = "1000"', 'seat_stake = "-1"', "seat_stake cannot be"),
        ('seat_stake = "1000"', "seat_stake = 1000", "seat_stake is of kind str"),
        ("confirmations = 12", "confirmations = true", "confirmations is a whole number"),
        ('stores = ["https://store.example"]', "stores = [1]", "stores is a list of texts"),
        ('bid = ["1 min", "7 d"]', 'bid = ["1 min"]', "windows.bid is a pair of spans"),
        ('bid = ["1 min", "7 d"]', 'bid = ["7 d", "1 min"]', "windows.bid begins with the lesser"),
        ("shard_bytes = 67_108_864", "shard_bytes = 0", "greatest.shard_bytes is a whole number"),
        ("[windows]", "[windows", "is not TOML"),
    ],
)
def test_the_first_fault_is_named(old: str, new: str, says: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(BadInput, match=re.escape(says)) as refused:
        read_specification(EXAMPLE.replace(old, new))
    assert refused.value.code == "bad_specification" and refused.value.hint


@pytest.mark.parametrize(
    ("nonce", "address"),
    [  # as `cast compute-address` says; RLP changes its form at 0, 128 and 256
        (0, "0x5FbDB2315678afecb367f032d93F642f64180aa3"),
        (1, "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"),
        (127, "0x5fc748f1FEb28d7b76fa1c6B07D8ba2d5535177c"),
        (128, "0xB82008565FdC7e44609fA118A4a681E92581e680"),
        (256, "0x3C1Cb427D20F15563aDa8C249E71db76d7183B6c"),
    ],
)
def test_a_contract_s_address_follows_from_its_creator_and_nonce(nonce: int, address: str) -> None:
    assert create_address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", nonce) == address
