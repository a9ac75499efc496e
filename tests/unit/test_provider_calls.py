"""What strangers' calls for bids may cost a node (P2.5, threat 89): little, and nothing in its journal, before money is
there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from heldout.market.calling import CallForBids, call_letter
from heldout.market.chain import Block
from heldout.market.errors import Reverted
from heldout.market.lifecycle import State
from heldout.market.messages import Letter
from heldout.market.money import Wei
from heldout.market.signatures import recover
from heldout.market.terms import Address, BlockNumber, JobTerms, Timestamp, job_id
from heldout.provider import calls
from heldout.provider.calls import ASK_AGAIN, MOST_OF_ONE, MOST_READ, Calls
from tests.builders import CHAIN_ID, MARKET, TERMS, digest
from tests.letter_board import NETWORK
from tests.unit.test_provider_book import Branch, book

ASKERS = [Account.from_key(digest(f"asker {n}")) for n in range(3)]
NOW = 1_800_000_000


class Chain:
    """What a node asks about a call."""

    network = NETWORK

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.verified = 0
        self.poor = False

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        self.verified += 1
        return recover(digest, signature) == address

    def try_post(self, terms: JobTerms, at: Block) -> None:
        self.asked.append(terms.salt)
        if self.poor:
            raise Reverted("InsufficientFree")


class Mail:
    def __init__(self) -> None:
        self.letters: dict[bytes, Letter] = {}

    def calls(self, now: int) -> Mapping[bytes, Letter]:
        return self.letters

    def drop_call(self, key: bytes) -> None:
        del self.letters[key]


class Node:
    def __init__(self) -> None:
        self.chain, self.mail, self.book = Chain(), Mail(), book(Branch())
        self.calls = Calls(self.chain, self.mail, self.book)  # type: ignore[arg-type]

    def hears(self, count: int = 1, *, asker: Any = ASKERS[0], signer: Any = None) -> None:
        for _ in range(count):
            salt = digest(f"salt {len(self.mail.letters)}")
            terms = replace(TERMS, requester=Address(asker.address), salt=salt)
            call = CallForBids(job_id(terms, CHAIN_ID, MARKET), terms, Timestamp(NOW + terms.bidWindow))
            signed = (signer or asker).unsafe_sign_hash(call.digest(CHAIN_ID, MARKET)).signature
            letter = call_letter(call, bytes(signed))
            self.mail.letters[digest(letter.encode().decode())] = letter

    def tends(self, number: int = 10, now: int = NOW) -> None:
        self.calls.tend(Block(BlockNumber(number), "0x", "0x", Timestamp(now), Wei(0)))


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_signed_call_that_the_market_would_take_is_a_job_in_the_book(node: Node) -> None:
    node.hears()
    node.tends()
    node.tends()
    assert [job.state for job in node.book.jobs.values()] == [State.OPEN]
    assert (node.chain.verified, len(node.chain.asked)) == (1, 1), "once is enough"


def test_a_call_without_money_is_asked_about_now_and_then_and_leaves_no_trace(node: Node) -> None:
    node.hears()
    node.chain.poor = True
    for number in range(10, 10 + ASK_AGAIN):
        node.tends(number)
    assert (len(node.chain.asked), node.book.jobs) == (1, {})
    node.chain.poor = False
    node.tends(10 + ASK_AGAIN)
    assert len(node.book.jobs) == 1


def test_a_forged_call_is_dropped_before_the_market_is_asked(node: Node) -> None:
    node.hears(signer=ASKERS[1])
    node.tends()
    assert (node.mail.letters, node.chain.asked, node.book.jobs) == ({}, [], {})


def test_signatures_are_checked_a_few_in_a_cycle(node: Node) -> None:
    node.hears(2 * MOST_READ + 1)
    for checked in (MOST_READ, 2 * MOST_READ, 2 * MOST_READ + 1):
        node.tends()
        assert node.chain.verified == checked


def test_nobody_fills_the_book_alone_and_all_together_fill_it_to_a_bound(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_CALLS", MOST_OF_ONE + 2)
    node.hears(MOST_OF_ONE + 3)
    node.hears(asker=ASKERS[1])
    node.tends()
    by = [job.terms.requester for job in node.book.jobs.values()]
    assert (by.count(Address(ASKERS[0].address)), by.count(Address(ASKERS[1].address))) == (MOST_OF_ONE, 1)
    node.hears(3, asker=ASKERS[2])
    node.tends()
    assert len(node.book.jobs) == MOST_OF_ONE + 2
    node.tends(11, NOW + TERMS.bidWindow + 1)
    assert all(job.final for job in node.book.jobs.values())
