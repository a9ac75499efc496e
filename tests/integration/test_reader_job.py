"""One job's whole life, read three ways that must agree: the contract's views, the folded events, the pure draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256

import pytest
from builders import TERMS

from heldout.devnet import Devnet
from heldout.market.chain import Chain, Outbox
from heldout.market.chain.deposits import deposit
from heldout.market.chain.signatures import sign_digest
from heldout.market.journal import Journal
from heldout.market.lifecycle import VACANT, JobState, Outcome, State, fold
from heldout.market.messages import Bid, beside, commit_hash, pack_vote
from heldout.market.money import ONE_TOKEN, Wei, payout_down
from heldout.market.split import SEED_DELAY, draw_committee, round_size
from heldout.market.terms import BlockNumber, JobId, job_id, keccak256

pytestmark = pytest.mark.integration

VALIDATORS = 8
SCORES = (950_000, 899_999)
"""Lane 0 between floor and target, lane 1 below the floor."""


class Court:
    """Everybody at once, each with an outbox."""

    def __init__(self, devnet: Devnet, stack: ExitStack) -> None:
        self.devnet = devnet
        self.chain: Chain = devnet.chain()
        self._stack = stack
        self._outboxes: dict[str, Outbox] = {}
        self.terms = replace(TERMS, requester=devnet.keys("requester").address, parents=())
        self.job: JobId = job_id(self.terms, devnet.network.chain_id, devnet.network.market)
        self.raw = bytes.fromhex(self.job[2:])

    def send(self, who: str, function: str, *args: object) -> None:
        self.outbox(who).send(f"{function}:{args!r}", function, *args, wait=True)

    def outbox(self, who: str) -> Outbox:
        if who not in self._outboxes:
            journal = self._stack.enter_context(Journal(self.devnet.state / "court" / who))
            self._outboxes[who] = Outbox(self.chain, self.devnet.keys(who).account, journal)
        return self._outboxes[who]

    def fund(self, who: str, amount: Wei) -> None:
        deposit(self.chain, self.outbox(who), self.devnet.keys(who).account, amount)

    def bid(self, number: int) -> tuple[Bid, bytes]:
        ring = self.devnet.keys(f"provider-{number}")
        price, until = Wei((80 + number) * ONE_TOKEN), self.chain.head().timestamp + 3_600
        bid = Bid(self.raw, ring.address, price, ring.wrap_public, until, number)
        digest = bid.digest(self.devnet.network.chain_id, self.devnet.network.market)
        assert digest == self.chain.call("hashBid", bid.as_tuple())
        return bid, sign_digest(ring.account, digest)

    @property
    def told(self) -> JobState:
        return fold(self.chain.events(0, self.chain.head().number, job=self.job))[self.job]

    def agree(self) -> JobState:
        """Events and views tell the same."""
        told, view = self.told, self.chain.job(self.job)
        assert (told.state, told.outcome, told.round) == (view.state, view.outcome, view.round)
        assert told.final or told.deadline == view.deadline  # a final job's event says when it was settled
        assert told.money_in - told.money_out == self.chain.held_for(told.terms)
        assert (told.accept_block or 0) == view.accept_block
        for index, lane in enumerate(told.lanes):
            stored = self.chain.lane(self.job, index)
            price = 0 if told.final else lane.price  # of a final job the score is kept instead
            assert (stored.provider, stored.price, stored.word) == (lane.provider, price, lane.word or bytes(32))
        for number, round_ in enumerate(told.rounds, 1):
            stored_round = self.chain.round(self.job, number)
            assert (stored_round.seats, stored_round.pinned) == (round_.seats, bool(round_.seats))
            assert stored_round.committed == set(round_.commits) and stored_round.revealed == set(round_.votes)
        return told


@pytest.fixture
def court(devnet: Devnet) -> Iterator[Court]:
    for number in range(VALIDATORS):
        devnet.stake(number)
    with ExitStack() as stack:
        yield Court(devnet, stack)


def bind(court: Court) -> None:
    court.fund("requester", court.terms.escrow)
    court.send("requester", "post", court.terms.as_tuple())
    court.agree()
    for number in range(2):
        court.fund(f"provider-{number}", court.terms.collateral)
    bids = [court.bid(number) for number in range(2)]
    court.send("requester", "accept", court.terms.as_tuple(), [b.as_tuple() for b, _ in bids], [s for _, s in bids])


def draw(court: Court) -> tuple[int, ...]:
    """Both lanes submit; the committee by the contract, which must be the committee by split.py (P5.2)."""
    for lane in range(2):
        court.send(f"provider-{lane}", "submit", court.job, lane, keccak256(bytes([lane])))
    court.agree()
    view = court.chain.job(court.job)
    court.devnet.mine(SEED_DELAY + 1)
    seed, seats = court.chain.committee(court.job)
    assert seed.hex() == court.chain.block(view.seed_block).hash[2:]
    stored = court.chain.seats(range(view.seat_count))

    def is_live(seat: int) -> bool:
        return stored[seat].active_from <= view.accept_block and stored[seat].exiting_at == BlockNumber(0)

    drawn = draw_committee(seed, court.raw, 1, round_size(3, 1), view.seat_count, is_live)
    assert seats == tuple(VACANT if seat is None else seat for seat in drawn)
    return seats


@contextmanager
def voting(court: Court, seats: tuple[int, ...]) -> Iterator[None]:
    """All commit; then what the body does; then all reveal."""
    network, evidence = court.devnet.network, sha256(b"evidence").digest()
    vote, salt = pack_vote(SCORES), keccak256(b"salt")
    for place, seat in enumerate(seats):
        who = f"validator-{seat // 3}"
        hash_ = commit_hash(network.chain_id, network.market, court.raw, 1, seat, vote, evidence, salt)
        court.send(who, "commit", court.job, place, hash_)
    view = court.chain.job(court.job)
    commits = court.chain.commits(court.job, view, court.chain.head())
    assert [place for place, _ in commits] == list(range(len(seats)))
    yield
    for place in range(len(seats)):
        court.send("requester", "reveal", court.job, place, vote, evidence, salt, *beside(commits, place))
        assert court.chain.vote(court.job, 1, place) == vote


def test_views_events_and_draws_agree_from_post_to_payout(court: Court) -> None:
    """P3, P5.2, P1.4: one job, honest all the way."""
    bind(court)
    assert court.agree().state is State.RUNNING
    seats = draw(court)
    with voting(court, seats):
        assert court.agree().state is State.REVEALING
    told = court.agree()
    assert (told.state, told.standing) == (State.SCORED, SCORES)
    court.devnet.warp(court.terms.challengeWindow + 1)
    court.send("provider-0", "settle", court.terms.as_tuple())
    told = court.agree()
    assert (told.state, told.outcome, told.sums) == (State.SETTLED, Outcome.MEASURED, True)
    terms = court.terms
    expected = payout_down(told.lanes[0].price, SCORES[0], terms.floor, terms.target, terms.floorPay)  # type: ignore[arg-type]
    assert [lane.payout for lane in told.lanes] == [expected, 0]
    names = {event.name for event in court.chain.events(0, court.chain.head().number, job=court.job)}
    assert "Artifact" in names  # its job is indexed in the second place


def test_a_reorg_of_the_accept_is_a_job_that_is_open_again(court: Court) -> None:
    """Threat 26 at a step of life: the folded state is that of the chain that is left, and the accept comes again."""
    bind(court)
    before = court.told
    court.devnet.anvil.reorg(1)
    assert court.agree().state is State.OPEN
    court.outbox("requester").poll()
    court.devnet.mine()
    told = court.agree()
    assert told.state is State.RUNNING
    assert (told.lanes, told.accept_block) == (before.lanes, court.chain.job(court.job).accept_block)
