"""What a requester must do next for one job: pure, from the chain at one block and what has arrived (P3, P4).

    called for  the same, before anything is on chain: say so again, and to accept is to `open` it (P2.5)
    Open        ├─ wait for bids ─┼─ accept if all lanes are bid for ─┼─ accept what there is ─┤ expire
                posted            1/2, or the policy's time           3/4
    Running     release the training keys once the split's block is deep; answer a demand
    Committing  release the held-out keys to the drawn seats once the seed's block is deep; answer a demand
    Scored      ├─ providers may check ─┼─ demand half b of a paid lane ─┤            │ settle
                start                   1/4                              1/2          deadline
                with all paid weights here, and measured again: waive; with everybody's waiver: conclude (P6.1)

Every duty may be taken twice, so a process that died between doing and noting does it again. Nothing here spends money
that was not escrowed, or deposited for a call: the transactions are accept, open, answer, demand, conclude and the
deadline moves everybody may make.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from heldout.market.alarm import at_risk
from heldout.market.lifecycle import REQUESTER, VACANT, JobState, State, deadline_move, lane_pays
from heldout.market.messages import NO_DATA, NO_KEYS, Bid, Letter
from heldout.market.split import SEED_DELAY
from heldout.market.terms import Address, BlockNumber, Timestamp

STAGGER_S = 8
"""Seconds a deadline move is left to the providers, who wait for it too."""


class Waiving(StrEnum):
    """When to sign away the challenge. Before every paid lane's weights are here and open, never."""

    NEVER = "never"
    VERIFIED = "verified"
    """Once every paid lane was measured again here, and all is as the chain says."""
    TRUSTED = "trusted"
    """On the committee's word."""


@dataclass(frozen=True)
class Policy:
    """When to stop waiting for a better bid. Seconds after `post` or the call; None: half of the bid window."""

    accept_after: int | None = None
    accept: bool = True
    """False: bids are accepted by hand (`heldout job accept`)."""
    waiving: Waiving = Waiving.NEVER


@dataclass(frozen=True)
class Offer:
    """A bid whose signature, validity and collateral were checked at the block that is read."""

    bid: Bid
    signature: bytes


@dataclass(frozen=True)
class View:
    """All a decision may depend on. `head` and `now` are number and timestamp of the block that was read."""

    job: JobState
    changed: BlockNumber
    """Block of the job's latest event."""
    head: BlockNumber
    now: Timestamp
    confirmations: int
    stage_start: Timestamp
    seed_block: BlockNumber
    """Of the present round's committee; 0 before there is one."""
    offers: tuple[Offer, ...] = ()
    seats: tuple[int, ...] = ()
    """By place, `VACANT` included; empty until the seed block is deep."""
    sent: frozenset[str] = frozenset()
    """Names of the letters that were handed over lately (see `letter_name`): after a while they go out again."""
    told: frozenset[str] = frozenset()
    """Names of all that were handed over since this process began: their going out again is at no risk."""
    complete: frozenset[int] = frozenset()
    """Lanes whose weights could be opened now: submission letter and half b are here."""
    fetched: frozenset[int] = frozenset()
    rechecked: bool = False
    """Whether the paid lanes were measured again here, and are worth what the chain says."""
    all_waived: bool = False
    """Whether everybody's waiver of the standing result is here."""
    foreseen: bool = False
    """Whether `job` is Scored by openings that nobody has posted yet, so that `conclude` has to bring them along."""
    policy: Policy = field(default_factory=Policy)

    @property
    def split_known(self) -> bool:
        """Whether the block that draws the split is so deep that keys may depend on it (P4.1)."""
        accepted = self.job.accept_block
        return accepted is not None and self.head >= accepted + SEED_DELAY + self.confirmations


# -------------------------------------------------------------------------------------------------- duties


@dataclass(frozen=True)
class Call:
    """Tell again that bids are wanted, since a service may have lost its database."""

    letter: Letter


@dataclass(frozen=True)
class Accept:
    """Of a job that is only called for: post it and accept, in one."""

    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class ReleaseTraining:
    """The training shards' keys to the provider of a lane."""

    lane: int


@dataclass(frozen=True)
class ReleaseHeldOut:
    """The held-out shards' keys to a drawn seat."""

    seat: int


@dataclass(frozen=True)
class ShowHeldOut:
    """The held-out shards' keys to a scored provider, so that its appeal is never blind (P4.6)."""

    lane: int


@dataclass(frozen=True)
class Answer:
    """Put the envelopes that this stage owes on chain (P4.5)."""


@dataclass(frozen=True)
class DemandHalf:
    lane: int


@dataclass(frozen=True)
class Fetch:
    """Open the weights of a paid lane and keep them."""

    lane: int


@dataclass(frozen=True)
class Recheck:
    """Measure the paid lanes again."""


@dataclass(frozen=True)
class Waive:
    """Sign that the result may stand, and send that to the providers (P6.1)."""


@dataclass(frozen=True)
class Conclude:
    """Post everybody's waivers: the job is settled at once."""


@dataclass(frozen=True)
class Move:
    """A deadline move that anyone may make (P1.1)."""

    function: str


Duty = (
    Call
    | Accept
    | ReleaseTraining
    | ReleaseHeldOut
    | ShowHeldOut
    | Answer
    | DemandHalf
    | Fetch
    | Recheck
    | Waive
    | Conclude
    | Move
)


def duties(view: View) -> list[Duty]:
    """What to do now, the most urgent first. Empty means: wait for the chain or for others."""
    found: list[Duty] = []
    if view.foreseen:  # nothing of it is on chain: only what leads to a `conclude` that brings it there
        found += _fetches(view)
        return [*found, *_waiving(view)] if view.now < view.job.deadline else found
    if REQUESTER in view.job.pending and view.now < view.job.deadline and _can_answer(view):
        found.append(Answer())
    match view.job.state:
        case State.OPEN:
            found += _while_open(view)
        case State.RUNNING:
            found += _while_running(view)
        case State.COMMITTING:
            found += _while_committing(view)
        case State.SCORED:
            found += _while_scored(view)
    return [*found, *_fetches(view), *_deadline_moves(view)]


def _fetches(view: View) -> list[Fetch]:
    return [Fetch(lane) for lane in sorted(view.complete - view.fetched) if pays(view.job, lane)]


def letter_name(kind: str, receiver: str) -> str:
    """What a letter is remembered by: the keys a party is owed never change within a job."""
    return f"{kind}:{receiver.lower()}"


def seat_name(seat: int) -> str:
    """The receiver's part of a seat's letter name: its hot key may be rotated."""
    return f"seat {seat}"


def pays(job: JobState, lane: int) -> bool:
    """Whether the standing result pays a lane, so that its weights are the requester's (P4.4)."""
    return job.standing is not None and lane_pays(job.terms, job.lanes[lane].price, job.standing[lane]) > 0


def is_done(view: View) -> bool:
    """Whether nothing will ever be due again for this job, whatever the chain may still reorganise."""
    return view.job.final and view.head >= view.changed + view.confirmations and not duties(view)


def _can_answer(view: View) -> bool:
    """Whether it is known to whom, and which, keys are owed."""
    return bool(view.seats) if view.job.state is State.COMMITTING else view.split_known


def _while_open(view: View) -> Iterator[Duty]:
    terms = view.job.terms
    if not view.policy.accept or view.now >= view.job.deadline or not view.offers:
        return
    waited = view.now - view.job.posted.timestamp
    patience = terms.bidWindow // 2 if view.policy.accept_after is None else view.policy.accept_after
    last_call = max(patience, terms.bidWindow * 3 // 4)
    if waited >= (patience if len(view.offers) >= terms.lanes else min(last_call, terms.bidWindow - 1)):
        yield Accept(view.offers[: terms.lanes])


def _while_running(view: View) -> Iterator[Duty]:
    if not view.split_known or view.now >= view.job.deadline:
        return
    for index, lane in enumerate(view.job.lanes):
        if lane.word is None and letter_name("training_keys", lane.provider) not in view.sent:
            yield ReleaseTraining(index)


def _while_committing(view: View) -> Iterator[Duty]:
    if view.now >= view.job.deadline:
        return
    for seat in sorted({seat for seat in view.seats if seat != VACANT}):
        if letter_name("held_out_keys", seat_name(seat)) not in view.sent:
            yield ReleaseHeldOut(seat)


def _while_scored(view: View) -> Iterator[Duty]:
    if view.now >= view.job.deadline:
        return
    window, waited = view.job.terms.challengeWindow, view.now - view.stage_start
    for index, lane in enumerate(view.job.lanes):
        if lane.word is None:
            continue
        if letter_name("held_out_keys", lane.provider) not in view.sent:
            yield ShowHeldOut(index)
        lacking = pays(view.job, index) and index not in view.complete and lane.word != NO_KEYS
        if lacking and index not in view.job.demanded and window // 4 <= waited < window // 2:
            yield DemandHalf(index)
    yield from _waiving(view)


def _waiving(view: View) -> Iterator[Duty]:
    """The challenge is all a requester has against a wrong score and a half key that does not come, so it is signed
    away last: every paid lane's weights are on the shelf, and the policy's measure agrees. A lane that is paid although
    no keys came costs the bond: then the challenge runs its time."""
    policy, job = view.policy.waiving, view.job
    if policy is Waiving.NEVER or job.pending or job.standing is None or NO_DATA in job.standing:
        return
    paid = frozenset(lane for lane in range(len(job.lanes)) if pays(job, lane))
    if not paid <= view.fetched:
        return
    if policy is Waiving.VERIFIED and paid and not view.rechecked:
        yield Recheck()
        return
    yield Waive()
    if view.all_waived:
        yield Conclude()


def _deadline_moves(view: View) -> Iterator[Duty]:
    patience = 0 if view.job.state is State.OPEN else STAGGER_S
    move = deadline_move(view.job, Timestamp(view.now - patience))
    if move and REQUESTER not in view.job.pending:
        yield Move(move)


# ------------------------------------------------------------------------------------------------- at risk


@dataclass(frozen=True)
class Risk:
    """A duty that may be missed: for log, metrics, command and webhook."""

    code: str
    message: str


def risks(view: View) -> list[Risk]:
    """What the requester should hear about while there is time to help."""
    job, left = view.job, view.job.deadline - view.now
    found = []
    if REQUESTER in job.pending and left > 0:
        found.append(Risk("demanded", f"{left} s left to answer a demand on chain, the bond is at stake"))
    window = {
        State.OPEN: job.terms.bidWindow,
        State.RUNNING: job.terms.workWindow,
        State.COMMITTING: job.terms.commitWindow,
    }.get(job.state)
    first_time = duties(replace(view, sent=view.sent | view.told))
    undone = [duty for duty in first_time if isinstance(duty, Accept | ReleaseTraining | ReleaseHeldOut)]
    accepting = bool(undone) and isinstance(undone[0], Accept)  # by default due when half of the window is over
    if undone and window and at_risk(job.deadline, view.now, window, spare=0.25 if accepting else 0.5):
        what = "bids to accept" if accepting else "keys to release"
        found.append(Risk("release_at_risk", f"{len(undone)} {what}, {left} s left"))
    if job.state is State.OPEN and not view.offers and at_risk(job.deadline, view.now, job.terms.bidWindow):
        found.append(Risk("no_bids", f"no valid bid yet, {left} s left; at the deadline nothing stays locked"))
    lacking = [
        i for i in range(len(job.lanes)) if job.state is State.SCORED and pays(job, i) and i not in view.complete
    ]
    if lacking and at_risk(job.deadline, view.now, job.terms.challengeWindow, spare=0.75):
        found.append(Risk("half_key_missing", f"half b of lane {lacking[0]} has not come: it is demanded on chain"))
    return found


def best_offers(offers: list[Offer], price_cap: int) -> tuple[Offer, ...]:
    """One offer for each provider, the cheapest first; equal prices in the order of addresses, so that runs agree. Of a
    provider's own, the one that is valid for longest."""
    best: dict[Address, Offer] = {}
    for offer in sorted(offers, key=lambda offer: (offer.bid.price, -offer.bid.validUntil)):
        if offer.bid.price <= price_cap:
            best.setdefault(Address(offer.bid.provider.lower()), offer)
    return tuple(sorted(best.values(), key=lambda offer: (offer.bid.price, offer.bid.provider.lower())))
