"""One job from deposit to settlement, and its artifact in the value chain, by what Brownie compiled."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brownie.network.contract import ProjectContract
from eth_abi import encode
from eth_account import Account
from scripts.deploy import deploy

import brownie
from brownie import Contract, HeldToken, Market, ValueChain, accounts, chain, web3

TOKEN = 10**18
SALT = b"\x07" * 32
VOTE = (900_000).to_bytes(32, "big")
"""Lane 0 scored 0.9."""
PREIMAGE = (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32)
FLOOR, TARGET = 800_000, 950_000
PRICE, FEE, BOND, COLLATERAL = 90 * TOKEN, TOKEN, 30 * TOKEN, 20 * TOKEN
SHIPPED = Path(__file__).resolve().parents[2] / "market" / "chain" / "abi"


@pytest.fixture(autouse=True)
def isolation(fn_isolation: None) -> None:
    """Every test begins on the same chain."""


@pytest.fixture
def market() -> ProjectContract:
    """A market with 24 seats of one owner, whose hot key is its cold one."""
    token = HeldToken.deploy(10**30, {"from": accounts[0]})
    at, _ = deploy(accounts[0], token.address)
    # two halves of code answer at one address; the artifact that ships tells of both
    deployed = Contract.from_abi("Market", at.address, json.loads((SHIPPED / "Market.json").read_text())["abi"])
    owner = accounts[9]
    fund(deployed, owner, 24_000 * TOKEN)
    deployed.stake(24, owner, b"\x00" * 32, {"from": owner})
    chain.mine(2)
    return deployed


@pytest.fixture
def provider(market: ProjectContract) -> Iterator[Any]:
    """An account whose key is here: its bid is signed by hand."""
    signer = accounts.add(Account.create().key)
    accounts[0].transfer(signer, "1 ether")
    fund(market, signer, 1_000 * TOKEN)
    yield signer
    accounts.remove(signer)


def fund(market: ProjectContract, account: Any, amount: int) -> None:
    token = HeldToken.at(market.token())
    token.transfer(account, amount, {"from": accounts[0]})
    token.approve(market, amount, {"from": account})
    market.deposit(amount, {"from": account})


def terms_of(requester: Any) -> tuple[Any, ...]:
    """JobTerms, field for field."""
    work = (10**6, 1 << 16, 1 << 20, b"\x0a" * 32, b"\x0b" * 32, 20, 5)
    windows = (3600, 7200, 1800, 3600, 2400, 3000)
    score = (FLOOR, TARGET, 500_000, 1, web3.keccak(text="score-v1"))
    money = (3, FEE, BOND, COLLATERAL)
    return (requester.address, b"\x09" * 32, 1, 100 * TOKEN, *score, *work, *money, *windows, SALT, [])


def test_the_bytecode_is_the_one_that_ships() -> None:
    for contract in (Market, ValueChain, HeldToken):
        shipped = json.loads((SHIPPED / f"{contract._name}.json").read_text())
        assert "0x" + contract.bytecode == shipped["bytecode"]


def test_a_job_is_paid_for_the_score_that_a_committee_measured(market: ProjectContract, provider: Any) -> None:
    requester = accounts[1]
    fund(market, requester, 1_000 * TOKEN)
    terms = terms_of(requester)
    job = market.hashTerms(terms)
    market.post(terms, {"from": requester})
    bid = (job, provider.address, PRICE, b"\x0c" * 32, chain.time() + 3600, 1)
    signature = Account.unsafe_sign_hash(market.hashBid(bid), provider.private_key).signature
    market.accept(terms, [bid], [signature], {"from": requester})

    words = encode(["bytes32", "address", *["bytes32"] * 4], [bytes(job), provider.address, *PREIMAGE])
    market.submit(job, 0, web3.keccak(words), {"from": provider})
    vote_all(market, job)
    with brownie.reverts():
        market.settle(terms, {"from": accounts[5]})  # the challenge runs
    chain.sleep(3000)
    before = (market.free(provider), market.free(requester))
    settled = market.settle(terms, {"from": accounts[5]})

    payout = PRICE * (150_000 + 100_000) // 300_000  # half at the floor, the other half with the score
    assert settled.events["LaneSettled"]["payout"] == payout
    assert market.free(provider) == before[0] + payout + COLLATERAL
    assert market.free(requester) == before[1] + BOND + PRICE - payout
    check_conservation(market, terms, [requester, provider, accounts[9]])
    check_claim(market, terms, requester)


def vote_all(market: ProjectContract, job: bytes) -> None:
    chain.mine(3)
    market.pin(job, {"from": accounts[5]})
    seats = market.getRound(job, 1)[3]
    evidence = b"\x0d" * 32
    kinds = ["uint256", "address", "bytes32", "uint8", "uint32", "bytes32", "bytes32", "bytes32"]
    links = []
    for place, seat in enumerate(seats):
        values = [chain.id, market.address, bytes(job), 1, seat, VOTE, evidence, SALT]
        hashed = web3.keccak(encode(kinds, values))
        links.append(web3.keccak(encode(["uint256", "bytes32"], [place, hashed])))
        market.commit(job, place, hashed, {"from": accounts[9]})
    earlier = b"\x00" * 32
    for place, link in enumerate(links):
        market.reveal(job, place, VOTE, evidence, SALT, earlier, links[place + 1 :], {"from": accounts[5]})
        earlier = web3.keccak(encode(["bytes32", "bytes32"], [earlier, link]))


def check_conservation(market: ProjectContract, terms: tuple[Any, ...], parties: list[Any]) -> None:
    """P1.4, to one unit."""
    held = HeldToken.at(market.token()).balanceOf(market)
    stakes = sum(market.getSeat(seat)[4] for seat in range(24))
    assert held == sum(map(market.free, parties)) + market.heldFor(terms) + stakes + market.burned()


def check_claim(market: ProjectContract, terms: tuple[Any, ...], requester: Any) -> None:
    """P7.2: anybody enters the artifact; the requester owns it."""
    registry = ValueChain.deploy(market.address, {"from": accounts[0]})
    claimed = registry.claim(terms, 0, PREIMAGE, {"from": accounts[5]})
    assert registry.entryOf(claimed.return_value)[0] == requester
    assert claimed.events["Claimed"]["score"] == 900_000
