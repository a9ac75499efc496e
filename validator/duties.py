"""What a validator must do about one job now: pure, from what the chain says and what the node has (P3, P4.5).

    Committing   ├──── patience ────┼─ demand ─┼──── wait ────┼──── last call ────┤ deadline
                 start              1/3        1/2            2/3                 with a commit of all n it ends early
                 commit as soon as every lane has its verdict; from the last call on with what there is (from 5/6 on
                 while more is being measured)
    Revealing    ├─ wait until the commits are deep ─┼─ reveal, deep or not ──────┤ deadline
                 start                               1/2
    deadline     ├─ others' turn ─┼─ close or settle, one committee place after the other

Commits, and once they are deep openings, go to the other seats first, for one transaction instead of n (`exchanging`).

An action is a wish: whoever carries it out tries it as a static call first, and the next cycle sees what became of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from heldout.market.alarm import at_risk
from heldout.market.chain.views import JobView, RoundView
from heldout.market.lifecycle import REQUESTER, State
from heldout.market.terms import Address, JobId, JobTerms, Timestamp
from heldout.validator.exchanging import STAGGER_S, Exchange
from heldout.validator.voting import Finding, Undelivered

SETTLE_AFTER_S = 12
"""Provider and requester settle first, they have more to gain."""
PIN_AFTER_BLOCKS = 128
"""A block's hash can be read for 256 blocks: a commit pins the seed for free, unless none comes for as long as this."""


@dataclass(frozen=True)
class Sight:
    """One job at one block."""

    job: JobId
    terms: JobTerms
    view: JobView
    round: RoundView
    places: Mapping[int, int]
    """My places in the present round's committee, and the seat that was drawn for each."""
    head: int
    deep: bool
    """Whether what this stage rests on cannot be reorganised away: the seed block, or the end of the commits."""
    seats: tuple[int, ...] = ()
    """By place, as drawn, whether or not anybody has pinned them."""
    hot: Mapping[int, Address] = field(default_factory=dict)
    """Who sits at each place that is not vacant."""


@dataclass(frozen=True)
class Findings:
    """What was found out about every lane, from what had arrived at block time `as_of`."""

    lanes: tuple[Finding, ...]
    as_of: Timestamp

    @property
    def lacking(self) -> frozenset[int]:
        """Parties that have something to deliver."""
        return frozenset(f.party for f in self.lanes if isinstance(f, Undelivered))


@dataclass(frozen=True)
class Mine:
    """What this node has for the present round of a job."""

    findings: Findings | None = None
    ballots: frozenset[int] = frozenset()
    """Seats whose ballot is in the journal: they may vote that and nothing else."""
    is_measuring: bool = False
    """What arrived since is being looked at: the findings may be better in a moment."""
    may_vote: bool = True
    """Known answers reproduced (P9.4), and gas for the reveal in reserve."""
    exchange: Exchange = field(default_factory=Exchange)
    """Of this stage's messages with the other seats."""


@dataclass(frozen=True)
class Measure:
    """Fetch, open, check and score; again if something was lacking."""


@dataclass(frozen=True)
class Pin:
    """Store the seed and the committee, or draw a new seed if its block is gone."""


@dataclass(frozen=True)
class Demand:
    party: int
    place: int


@dataclass(frozen=True)
class Forward:
    """Hand what one has to the other seats: one of them demands it (P4.3)."""


@dataclass(frozen=True)
class Commit:
    place: int
    seat: int


@dataclass(frozen=True)
class Offer:
    """Sign the commits of these places (a seat for each) and send them to the other seats (P6.1)."""

    seats: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CommitAll:
    """Post the commits of all seats."""


@dataclass(frozen=True)
class Recover:
    """Find the ballot again behind a commit that the journal does not know."""

    place: int
    seat: int


@dataclass(frozen=True)
class Reveal:
    place: int
    seat: int


@dataclass(frozen=True)
class Open:
    """Send the openings of these places (a seat for each) to the other seats: their commits are deep."""

    seats: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class RevealAll:
    """Post the openings of all commits."""


@dataclass(frozen=True)
class Move:
    """A deadline move that anyone may make (P1.1)."""

    function: Literal["close", "settle"]


Action = Open | RevealAll | Offer | CommitAll | Reveal | Recover | Commit | Demand | Forward | Pin | Measure | Move


def decide(sight: Sight, mine: Mine, now: Timestamp) -> list[Action]:
    """What to do, the most urgent first. `now` is the timestamp of the block that `sight` was read at."""
    if now >= sight.view.deadline:
        return _after_deadline(sight, mine, now)
    if not sight.places:
        return []
    match sight.view.state:
        case State.COMMITTING:
            return _while_committing(sight, mine, now)
        case State.REVEALING:
            return _while_revealing(sight, mine, now)
    return []


def _while_committing(sight: Sight, mine: Mine, now: Timestamp) -> list[Action]:
    if not sight.deep:
        return []
    return [*_votes(sight, mine, now), *_forwards(sight, mine)]


def _votes(sight: Sight, mine: Mine, now: Timestamp) -> list[Action]:
    waiting = {place: seat for place, seat in sight.places.items() if place not in sight.round.committed}
    if not waiting:
        return _recoveries(sight, mine)
    if all(seat in mine.ballots for seat in waiting.values()):
        return _by_either_road(sight, mine, waiting, now)
    if not mine.may_vote:
        return _commits({place: seat for place, seat in waiting.items() if seat in mine.ballots})
    if mine.findings is None:
        return [*_pin_if_late(sight), Measure()]
    if not mine.findings.lacking or _is_last_call(sight, mine, mine.findings, now):
        return _by_either_road(sight, mine, waiting, now)
    return [*(_demands(sight, mine.findings, now) or _pin_if_late(sight)), Measure()]


def _forwards(sight: Sight, mine: Mine) -> list[Action]:
    """Only what is awaited on chain, and only by whoever has it: measuring has shown that it opens."""
    has_it = mine.findings is not None and not mine.findings.lacking
    return [Forward()] if has_it and sight.view.pending else []


def _commits(waiting: Mapping[int, int]) -> list[Action]:
    return [Commit(place, seat) for place, seat in waiting.items()]


def _by_either_road(sight: Sight, mine: Mine, waiting: Mapping[int, int], now: Timestamp) -> list[Action]:
    """All commits in one transaction, as long as none has come by itself and there is time for that afterwards."""
    window = sight.terms.commitWindow
    latest = sight.view.deadline - window // 3
    if sight.round.committed or now >= latest or mine.exchange.is_over(now, window):
        return _commits(waiting)
    post: list[Action] = [CommitAll()] if mine.exchange.is_turn(now, min(waiting), window) else []
    return [Offer(tuple(waiting.items())), *post]


def _is_last_call(sight: Sight, mine: Mine, findings: Findings, now: Timestamp) -> bool:
    """Too late to go on waiting. While an answer is awaited it never is: the window begins anew with it, or with the
    silence that makes a lane MISSING (P4.5), and then the findings must be of after that."""
    fresh = findings.as_of >= sight.view.stage_start and not sight.view.pending
    left = sight.terms.commitWindow // (6 if mine.is_measuring else 3)
    return fresh and now >= sight.view.deadline - left


def _demands(sight: Sight, findings: Findings, now: Timestamp) -> list[Action]:
    """In the order of places, so that one node of those who lack the same pays for the demand."""
    window, waited, place = sight.terms.commitWindow, now - sight.view.stage_start, min(sight.places)
    turn = window // 3 + window * place // (6 * sight.round.size)
    if not turn <= waited < window // 2:
        return []
    if not sight.round.seats:
        return [Pin()]  # only a seat that is drawn on chain may demand
    return [Demand(party, place) for party in sorted(findings.lacking - sight.view.demanded)]


def _pin_if_late(sight: Sight) -> list[Action]:
    late = sight.head - sight.view.seed_block > PIN_AFTER_BLOCKS
    return [Pin()] if late and not sight.round.seats else []


def _while_revealing(sight: Sight, mine: Mine, now: Timestamp) -> list[Action]:
    window = sight.terms.revealWindow
    half = sight.view.deadline - window // 2
    if not sight.deep and now < half:
        return []
    known = {p: s for p, s in sight.places.items() if p in sight.round.committed and s in mine.ballots}
    alone = sight.round.revealed or mine.exchange.is_over(now, window)
    if alone or not known or not sight.deep or now >= half:
        return _reveals(sight, mine)
    post: list[Action] = [RevealAll()] if mine.exchange.is_turn(now, min(known), window) else []
    return [Open(tuple(known.items())), *post, *_recoveries(sight, mine)]


def _reveals(sight: Sight, mine: Mine) -> list[Action]:
    """Open what the journal knows; what it lost is measured again first (threat 43)."""
    sealed = {p: s for p, s in sight.places.items() if p in sight.round.committed - sight.round.revealed}
    known: list[Action] = [Reveal(place, seat) for place, seat in sealed.items() if seat in mine.ballots]
    return [*known, *_recoveries(sight, mine)]


def _recoveries(sight: Sight, mine: Mine) -> list[Action]:
    sealed = {p: s for p, s in sight.places.items() if p in sight.round.committed - sight.round.revealed}
    lost: list[Action] = [Recover(place, seat) for place, seat in sealed.items() if seat not in mine.ballots]
    return [*(lost if mine.findings else ()), Measure()] if lost else []


def _after_deadline(sight: Sight, mine: Mine, now: Timestamp) -> list[Action]:
    """Deadline moves by those who wait for their fee, after those who wait for more. A committee that nobody drew in
    time is everybody's: its seed block is gone, so no node knows whether it sits in it."""
    late = now - sight.view.deadline
    turn = STAGGER_S * (1 + min(sight.places, default=sight.round.size))
    if late < turn or (sight.round.seats and not sight.places):
        return []
    if _may_open_reveals(sight):
        return _reveals(sight, mine)
    if sight.view.pending or sight.view.state in (State.COMMITTING, State.REVEALING):
        return [Move("close")]
    return [Move("settle")] if sight.view.state is State.SCORED and late >= turn + SETTLE_AFTER_S else []


def _may_open_reveals(sight: Sight) -> bool:
    """A first reveal ends the commits by itself and saves a `close`, if enough of them were made."""
    enough = len(sight.round.committed) > sight.round.size // 2
    mine = sight.round.committed & set(sight.places)
    return sight.view.state is State.COMMITTING and enough and bool(mine) and not sight.view.pending


# ------------------------------------------------------------------------------------------------ for people


@dataclass(frozen=True)
class Duty:
    """One line of the calendar: a seat, what it has to do, and by when in block time."""

    job: JobId
    round: int
    seat: int
    place: int
    state: str
    commit_by: Timestamp | None
    reveal_by: Timestamp | None


def calendar(sight: Sight, mine: Mine) -> list[Duty]:
    """A duty for each of my places. While commits run, the latest time at which a reveal can be due is shown."""
    committing = sight.view.state is State.COMMITTING
    reveal_by = Timestamp(sight.view.deadline + (sight.terms.revealWindow if committing else 0))
    times = (sight.view.deadline if committing else None, reveal_by)
    return [
        Duty(sight.job, sight.view.round, seat, place, _progress(sight, mine, place, seat), *times)
        for place, seat in sorted(sight.places.items())
    ]


def _progress(sight: Sight, mine: Mine, place: int, seat: int) -> str:
    if place in sight.round.revealed:
        return "revealed"
    if place in sight.round.committed:
        return "committed" if seat in mine.ballots else "committed, vote to be found again"
    if sight.view.state is not State.COMMITTING:
        return "absent"
    if seat in mine.ballots:
        return "voted"
    if mine.findings is None:
        return "measuring" if sight.deep else "drawn"
    parties = ", ".join(
        "requester" if party == REQUESTER else f"lane {party}" for party in sorted(mine.findings.lacking)
    )
    return f"waiting for {parties}" if parties else "measured"


def risk(sight: Sight, mine: Mine, now: Timestamp) -> str | None:
    """What a person should know while there is time to help: a duty with under a quarter of its window left."""
    match sight.view.state:
        case State.COMMITTING:
            deed, window, undone = "commit", sight.terms.commitWindow, sight.places.keys() - sight.round.committed
        case State.REVEALING:
            committed = sight.places.keys() & sight.round.committed
            deed, window, undone = "reveal", sight.terms.revealWindow, committed - sight.round.revealed
        case _:
            return None
    if not undone or not at_risk(sight.view.deadline, now, window):
        return None
    seats = ", ".join(str(sight.places[place]) for place in sorted(undone))
    return f"{deed} of seat {seats} is due in {sight.view.deadline - now} s"
