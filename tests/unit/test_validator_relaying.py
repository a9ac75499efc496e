"""A node's mail with the other seats of a round (P6.1), without a chain to ask but for signatures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from heldout.market.carrier import ServiceProblem
from heldout.market.errors import BadMessage
from heldout.market.journal import Journal
from heldout.market.lifecycle import State
from heldout.market.messages import Kind, Letter
from heldout.market.relayed import ScoreCommit, commit_letter, commit_of, sign
from heldout.market.signatures import recover
from heldout.market.terms import Address, Timestamp
from heldout.validator.ballots import Ballots
from heldout.validator.relaying import LONGEST, Relay
from heldout.validator.voting import Domain, Verdict
from tests.builders import JOB, digest
from tests.unit.test_validator_duties import START, job, sight

CHAIN, MARKET = 31337, "0x" + "11" * 20
DOMAIN = Domain(CHAIN, MARKET, JOB, 1)
ME, LEFT, RIGHT = (Account.from_key(digest(name)) for name in ("me", "left", "right"))
HOT = {0: Address(LEFT.address), 1: Address(ME.address), 2: Address(RIGHT.address)}
SIGHT = sight(seats=(4, 5, 6), hot=HOT)


class Signatures:
    """What a relay asks of a chain while commits run."""

    def verify_signature(self, address: str, digest_: bytes, signature: bytes) -> bool:
        try:
            return recover(digest_, signature) == address
        except BadMessage:
            return False


class Head:
    timestamp = Timestamp(START + 1)


class Desk:
    """A relay of the seat at place 1, its ballot cast, and what it sent; `down` receivers cannot be reached."""

    def __init__(self, folder: Path, grace: int = 60) -> None:
        self.sent: list[Letter] = []
        self.tried: list[str] = []
        self.down: set[str] = set()
        ballots = Ballots(Journal(folder / "journal"), digest("vote secret"))
        ballots.cast(DOMAIN, 5, (Verdict(961_111), Verdict(950_000)))
        chain: Any = Signatures()
        self.relay = Relay(chain, ME, ballots, self.deliver, grace)

    def deliver(self, letter: Letter) -> None:
        self.tried.append(letter.receiver)
        if letter.receiver in self.down:
            raise ServiceProblem("no answer")
        self.sent.append(letter)

    def offer(self) -> None:
        head: Any = Head()
        self.relay.offer(SIGHT, DOMAIN, [5], head)

    def take(self, *letters: Letter) -> list[Letter]:
        return list(self.relay.sifted(letters))

    def whole(self) -> bool:
        head: Any = Head()
        return self.relay.exchange(SIGHT, DOMAIN, head).whole is not None


def commit(signer: Any, seat: int, text: str = "vote", **changes: Any) -> Letter:
    signed = replace(ScoreCommit(JOB, 1, seat, digest(text)), **changes)
    return commit_letter(signed, sign(signer, signed.digest(CHAIN, MARKET)), signer.address, HOT[1])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_signed_commit_is_that_of_the_ballot_in_the_journal(desk: Desk) -> None:
    """P11b: by either road the same hash, to every other seat and nobody else."""
    desk.offer()
    read = [commit_of(letter) for letter in desk.sent]
    assert [letter.receiver for letter in desk.sent] == [HOT[0], HOT[2]]
    assert {signed.hash for signed, _ in read} == {desk.relay.commits(SIGHT, DOMAIN)[0][0]}
    assert all(recover(signed.digest(CHAIN, MARKET), signature) == HOT[1] for signed, signature in read)


def test_a_set_is_whole_with_one_good_commit_of_every_seat(desk: Desk) -> None:
    desk.offer()
    desk.take(commit(LEFT, 4))
    assert not desk.whole()
    desk.take(commit(RIGHT, 6))
    assert desk.whole()
    hashes, signatures = desk.relay.commits(SIGHT, DOMAIN)
    assert hashes[0] == hashes[2] == digest("vote") != hashes[1] and len(signatures) == 3


@pytest.mark.parametrize(
    "bad",
    [
        commit(LEFT, 6),
        commit(RIGHT, 6, round=2),
        commit(RIGHT, 7),
        replace(commit(RIGHT, 6), body={**commit(RIGHT, 6).body, "hash": "0x" + digest("other").hex()}),
        replace(commit(RIGHT, 6), body={"seat": 6}),
        replace(commit(RIGHT, 6), body={**commit(RIGHT, 6).body, "more": "x" * LONGEST}),
    ],
    ids=["in another's name", "another round", "not drawn", "another hash", "no commit", "too long"],
)
def test_what_does_not_prove_itself_is_dropped_and_keeps_no_good_one_out(desk: Desk, bad: Letter) -> None:
    desk.offer()
    desk.take(commit(LEFT, 4), bad)
    assert not desk.whole()
    desk.take(commit(RIGHT, 6))
    assert desk.whole()


def test_of_two_commits_of_one_seat_the_first_counts(desk: Desk) -> None:
    desk.offer()
    desk.take(commit(LEFT, 4), commit(RIGHT, 6, "one"), commit(RIGHT, 6, "two"))
    assert desk.relay.commits(SIGHT, DOMAIN)[0][2] == digest("one")


def test_other_letters_pass_and_nothing_is_kept_on_the_plain_road(tmp_path: Path) -> None:
    other = Letter(JOB, Kind.SUBMISSION, HOT[0], HOT[1], {})
    plain = Desk(tmp_path, grace=0)
    assert plain.take(commit(LEFT, 4), other) == [other]
    assert list(plain.relay.commits(SIGHT, DOMAIN)[0]) == [plain.relay.commits(SIGHT, DOMAIN)[0][0]]


def test_a_receiver_that_fails_ends_the_cycle_and_comes_last_in_the_next(desk: Desk) -> None:
    """A service may take seconds to refuse; with 31 seats that would be a deadline."""
    desk.down = {HOT[0]}
    desk.offer()
    assert desk.tried == [HOT[0]]
    desk.offer()
    assert desk.tried == [HOT[0], HOT[2], HOT[0]]


def test_the_grace_runs_although_nothing_could_be_sent(desk: Desk) -> None:
    desk.down = set(HOT.values())
    desk.offer()
    head: Any = Head()
    assert desk.relay.exchange(SIGHT, DOMAIN, head).since == Head.timestamp


def test_no_opening_can_be_sent_while_commits_run_or_before_they_are_deep(desk: Desk) -> None:
    """P3.5: decide never asks for it, and if it did, nothing would leave."""
    head: Any = Head()
    for early in (SIGHT, replace(SIGHT, view=job(state=State.REVEALING), deep=False)):
        with pytest.raises(AssertionError):
            desk.relay.open(early, DOMAIN, [(1, 5)], (), head)
    assert desk.tried == []
