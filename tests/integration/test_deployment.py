"""`heldout network`: a market put on a chain from a keystore, and what is found out about somebody else's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from heldout.devnet import Devnet, accounts, parameters
from heldout.market.chain import connect
from heldout.market.chain.contracts import encode_arguments, interface
from heldout.market.deployment.creation import Plan, create_address, plan_creations
from heldout.market.deployment.findings import Finding, examine, is_shipped
from heldout.market.deployment.market import plan_market
from heldout.market.deployment.sending import keep, send, sign
from heldout.market.deployment.specification import Specification
from heldout.market.errors import BadInput, HeldoutError, InsufficientFunds, Reverted
from heldout.market.keys import ACCOUNT
from heldout.market.settings import Network
from heldout.market.terms import Address, keccak256
from heldout.requester_cli.main import dispatch

pytestmark = pytest.mark.integration

SPECIFICATION = """
name = "mine"
token = "{token}"
seat_stake = "500"
minimum_fee = "0.5"
confirmations = 3
stores = []
[windows]
bid = [5, "1 d"]
work = [5, "1 d"]
release = [5, "1 h"]
commit = [5, "1 h"]
reveal = [5, "1 h"]
challenge = [5, "1 h"]
[greatest]
shard_bytes = 1000000
weights_bytes = 1000000
operations_per_second = 1000000
"""


@pytest.fixture
def words(devnet: Devnet, tmp_path: Path) -> list[str]:
    """`heldout network deploy` on the devnet's chain, from the requester's keystore, with play money for gas."""
    file = tmp_path / "market.toml"
    file.write_text(SPECIFICATION.format(token=devnet.network.token))
    devnet.fund(devnet.keys("requester").address)
    keystore = str(devnet.home("requester") / ACCOUNT)
    options = ["--rpc", devnet.anvil.url, "--keystore", keystore, "--password-file", str(devnet.password_file)]
    return ["network", "deploy", str(file), *options, "--out", str(tmp_path / "network.json"), "--yes"]


def specified(devnet: Devnet) -> Specification:
    """A market like the devnet's own."""
    return parameters.specification(Address(devnet.network.token), ())


def findings(devnet: Devnet, network: Network) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(network, devnet.anvil.rpc)}


def wrong(devnet: Devnet, network: Network) -> set[str]:
    return {what for what, finding in findings(devnet, network).items() if finding.ok is False}


def nonce(devnet: Devnet, who: str) -> int:
    return int(devnet.anvil.call("eth_getTransactionCount", who, "latest"), 16)


def created(devnet: Devnet, data: bytes) -> tuple[str, int]:
    """Address and block of whatever this creation code makes."""
    account = Account.from_key(accounts.private_key(0))
    first = nonce(devnet, account.address)
    request = {"from": account.address, "data": "0x" + data.hex()}
    hash_ = devnet.anvil.call("eth_sendTransaction", request)
    devnet.mine()
    block = int(devnet.anvil.call("eth_getTransactionReceipt", hash_)["blockNumber"], 16)
    return create_address(account.address, first), block


def test_a_dry_run_sends_nothing_and_names_the_addresses_that_come_to_be(
    devnet: Devnet, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    who = devnet.keys("requester").address
    before = nonce(devnet, who)
    assert dispatch([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert nonce(devnet, who) == before and not (tmp_path / "network.json").exists()
    assert dispatch(words) == 0
    network = Network.from_json((tmp_path / "network.json").read_text())
    assert [each["address"] for each in plan["creations"]][1:] == [network.market, network.value_chain]
    assert int(plan["gas_cost"]["wei"]) > 0


def test_a_token_that_is_none_is_refused_before_anything_is_fixed(
    devnet: Devnet, words: list[str], tmp_path: Path
) -> None:
    for token in (accounts.address(5), devnet.network.market):
        (tmp_path / "market.toml").write_text(SPECIFICATION.format(token=token))
        with pytest.raises(BadInput) as refused:
            dispatch([*words, "--dry-run"])
        assert refused.value.code == "bad_token"


def test_what_it_deploys_is_found_sound_and_works(
    devnet: Devnet, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(words) == 0
    out = tmp_path / "network.json"
    assert not out.with_name("network.json.pending").exists()
    assert dispatch(["network", "verify", "--network", str(out), "--json"]) == 0
    capsys.readouterr()
    network = Network.from_json(out.read_text())
    assert (network.name, network.confirmations, network.token) == ("mine", 3, devnet.network.token)
    chain = connect(network)
    assert chain.parameters().seat_stake == 500 * 10**18
    assert chain.parameters().limits.work.greatest == 86_400
    chain.close()


def test_it_goes_on_with_what_it_had_signed_and_makes_no_second_market(
    devnet: Devnet, words: list[str], tmp_path: Path
) -> None:
    """A kill between two transactions: the file of pending ones is all that is left."""
    ring = devnet.keys("requester")
    specification = specified(devnet)
    plan = plan_market(devnet.anvil.rpc, ring.address, specification)
    signed = sign(plan, ring.account)
    keep(tmp_path / "network.json.pending", signed)
    send(devnet.anvil.rpc, signed[:1])
    assert dispatch(words) == 0
    network = Network.from_json((tmp_path / "network.json").read_text())
    assert (network.market, network.value_chain) == tuple(each.address for each in signed[1:])
    assert nonce(devnet, ring.address) == plan.creations[-1].nonce + 1


def test_a_nonce_that_was_used_for_something_else_is_said(devnet: Devnet) -> None:
    ring = devnet.keys("requester")
    specification = specified(devnet)
    signed = sign(plan_market(devnet.anvil.rpc, ring.address, specification), ring.account)
    send(devnet.anvil.rpc, sign(held_token_plan(devnet, ring.address), ring.account))
    with pytest.raises(HeldoutError) as refused:
        send(devnet.anvil.rpc, signed, timeout_s=20)
    assert refused.value.code == "nonce_taken"


def held_token_plan(devnet: Devnet, who: Address) -> Plan:
    return plan_creations(devnet.anvil.rpc, who, lambda _: [("HeldToken", (1,))])


def test_a_plan_that_the_contract_or_the_wallet_refuses_is_refused_before_it_is_signed(devnet: Devnet) -> None:
    poor = Account.create().address
    specification = specified(devnet)
    with pytest.raises(Reverted, match="BadLimits"):
        plan_market(devnet.anvil.rpc, poor, replace(specification, minimum_fee=specification.seat_stake))
    devnet.anvil.set_eth(poor, 1)
    with pytest.raises(InsufficientFunds):
        plan_market(devnet.anvil.rpc, poor, specification).refuse_unaffordable()


def test_the_devnet_itself_is_found_sound(devnet: Devnet) -> None:
    found = findings(devnet, devnet.network)
    assert {what for what, finding in found.items() if finding.ok is False} == set()
    assert {what for what, finding in found.items() if finding.ok is None} >= {"seeds", "limit: commit"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"chain_id": 1}, {"chain id"}),
        ({"genesis": "0x" + "00" * 32}, {"genesis"}),
        ({"code_hash": "0x" + "00" * 32}, {"code hash"}),
        (
            {"deploy_block": 10**6},
            {"market's creation", "second half", "second half's creation", "value chain's creation"},
        ),
    ],
)
def test_a_claim_of_the_file_that_the_chain_denies_is_found(
    devnet: Devnet, change: dict[str, Any], found: set[str]
) -> None:
    assert wrong(devnet, replace(devnet.network, **change)) == found


def test_another_contract_in_the_market_s_place_is_found(devnet: Devnet) -> None:
    network = replace(devnet.network, market=devnet.network.token, deploy_block=0)
    assert {"code hash", "market's code", "market's creation", "second half"} <= wrong(devnet, network)


def test_the_right_code_above_a_storage_that_another_constructor_filled_is_found(devnet: Devnet) -> None:
    """The code at the address is that of a sound market, immutables included; only its creation tells."""
    code = bytes.fromhex(devnet.anvil.call("eth_getCode", devnet.network.market, "latest")[2:])
    # SSTORE(7, 1), CODECOPY(0, 20, size), RETURN(0, size)
    size = "62" + len(code).to_bytes(3, "big").hex()
    filling = bytes.fromhex("6001600755" + size + "60145f39" + size + "5ff3").ljust(20, b"\x00")
    market, block = created(devnet, filling + code)
    at_slot = devnet.anvil.call("eth_getStorageAt", market, "0x7", "latest")
    assert int(at_slot, 16) == 1
    network = replace(devnet.network, market=market, deploy_block=block, value_chain=None)
    found = findings(devnet, network)
    assert found["market's code"].ok and found["code hash"].ok
    assert not found["market's creation"].ok and not found["second half"].ok


def test_a_second_half_that_only_answers_alike_is_found(devnet: Devnet) -> None:
    """Decision 20: its parameters please Market's constructor, its code could pay anybody (EIP-1167)."""
    block = int(devnet.anvil.call("eth_blockNumber"), 16)
    real = findings(devnet, devnet.network)["second half"].says[-40:]
    forwarder = bytes.fromhex("363d3d373d3d3d363d73" + real + "5af43d82803e903d91602b57fd5bf3")
    half, _ = created(devnet, bytes.fromhex("602d600c600039602d6000f3") + forwarder)
    shipped = interface("Market")
    market, _ = created(devnet, shipped.bytecode + encode_arguments(shipped.constructor, (half,)))
    code = devnet.anvil.call("eth_getCode", market, "latest")
    code_hash = "0x" + keccak256(bytes.fromhex(code[2:])).hex()
    network = replace(devnet.network, market=market, code_hash=code_hash, deploy_block=block, value_chain=None)
    assert wrong(devnet, network) == {"second half's code", "second half's creation"}


def test_a_registry_of_another_market_is_found(devnet: Devnet) -> None:
    account = Account.from_key(accounts.private_key(0))
    plan = plan_creations(devnet.anvil.rpc, account.address, lambda _: [("ValueChain", (devnet.network.token,))])
    (signed,) = sign(plan, account)
    send(devnet.anvil.rpc, [signed])
    assert wrong(devnet, replace(devnet.network, value_chain=signed.address)) == {"value chain's market"}


def test_a_token_that_is_none_is_found(devnet: Devnet) -> None:
    assert wrong(devnet, replace(devnet.network, token=accounts.address(5))) == {"token", "token's code"}


def test_code_is_the_shipped_code_only_if_an_immutable_is_the_same_wherever_it_is_read(devnet: Devnet) -> None:
    shipped = interface("Market")
    code = bytearray.fromhex(devnet.anvil.call("eth_getCode", devnet.network.market, "latest")[2:])
    assert is_shipped(bytes(code), shipped)
    start, length = shipped.immutables["_SEAT_STAKE"][-1]
    code[start : start + length] = bytes(length)
    assert not is_shipped(bytes(code), shipped)


def test_verify_ends_with_code_7_if_anything_is_wrong(
    devnet: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(replace(devnet.network, code_hash="0x" + "00" * 32).to_json())
    assert dispatch(["network", "verify", "--network", str(path)]) == 7
    assert "WRONG  code hash" in capsys.readouterr().out
