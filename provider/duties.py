"""What a provider must do next for one job: pure, from the chain at one block and its own record (P3, P4).

     seen ─▶ bid ─▶ accepted ─▶ keys ─▶ data ─▶ trained ─▶ sealed ─▶ uploaded ─▶ submitted
              │                 │                                                │
              └ lost            ├ late: demand                                   ├ each round: letters to its seats
                                └ bad: NO_KEYS                                   ├ a paid lane: half b to the requester
                                                                                 └ settled ─▶ done

Every step is safe to take twice, so a node that died between taking a step and noting it takes it again, and letters
are owed for as long as they may be needed: the mail sends them once, and anew if a service may have lost them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from heldout.market.alarm import at_risk
from heldout.market.calling import is_called
from heldout.market.lifecycle import REQUESTER, ChainEvent, JobState, Lane, State, deadline_move, lane_pays
from heldout.market.split import SEED_DELAY
from heldout.market.terms import Address, BlockNumber, Timestamp
from heldout.provider.bidding import valid_for
from heldout.provider.record import Record

MOST_FAILURES = 3
PATIENCE = 4
"""Keys are demanded when one part in this many of the work window has gone by without them: a demand costs gas."""
TRAINING_SHARE = 0.95
"""Of the time left to the deadline: the rest is for sealing, the upload and the transaction."""
LAST_TENTH = 10
"""A program that has failed by its own fault has all but one part in so many of the work window: what remains is for
what stands in for its weights."""
ENOUGH = 0.7
"""Of the work window: whoever ran for so long and was not done had its time. More is promised to no program, since keys
may be a quarter of the window late before they are demanded."""
CONCLUDE_AFTER_S = 8
"""The requester posts everybody's waivers first, then lane 0, and so on, this long one after the other."""
NEVER_WAIVE = 101
"""A share of the bid, in percent, that no lane is paid."""
STAGGER_S = 4
"""Lane i leaves a deadline move i times this long to the lanes before it, so that they do not pay for it twice."""


class Step(StrEnum):
    """One thing to do. `work.py` has a method for each."""

    JUDGE = "judge"
    SEND_BID = "send_bid"
    TAKE_KEYS = "take_keys"
    DEMAND_KEYS = "demand_keys"
    SUBMIT_NO_KEYS = "submit_no_keys"
    FETCH_DATA = "fetch_data"
    TRAIN = "train"
    WATCH = "watch"
    STAND_IN = "stand_in"
    SEAL = "seal"
    UPLOAD = "upload"
    SUBMIT = "submit"
    TELL_REQUESTER = "tell_requester"
    DELIVER = "deliver"
    ANSWER = "answer"
    GIVE_HALF = "give_half"
    WAIVE = "waive"
    CONCLUDE = "conclude"
    AGREE = "agree"
    CLOSE = "close"
    SETTLE = "settle"
    FINISH = "finish"


@dataclass(frozen=True)
class Standing:
    """A training that the owner wants to stand still."""

    why: str
    frozen: bool
    """False if it goes on all the same, for the collateral's sake or because the engine has no freezer."""
    at_risk: bool
    """Whether it could hardly stand still any longer and make its deadline."""


@dataclass(frozen=True)
class View:
    """All a decision may depend on besides the record."""

    job: JobState
    me: Address
    now: Timestamp
    """Of the block that is read."""
    head: BlockNumber
    changed: BlockNumber
    """Block of the job's latest event."""
    confirmations: int
    events: tuple[ChainEvent, ...] = ()
    """What the job was folded from."""
    training: bool = False
    """Whether an attempt is in the sandbox, running or ended."""
    standing: Standing | None = None
    waive_at: int = NEVER_WAIVE
    """The operator's policy: percent of the bid at which a lane has nothing to appeal."""
    waived_since: Timestamp | None = None
    """When the waivers of all parties were here."""
    proposed: bool = False
    """Whether the requester has proposed an outcome, and the operator lets this node sign one."""
    foreseen: bool = False
    """Whether `job` is Scored by openings that nobody has posted yet."""

    @property
    def deep(self) -> bool:
        """Whether the job's latest event is so deep that secrets may depend on it (P4.1)."""
        return self.head >= self.changed + self.confirmations

    @property
    def split_known(self) -> bool:
        accepted = self.job.accept_block
        return accepted is not None and self.head >= accepted + SEED_DELAY + self.confirmations

    @property
    def lane(self) -> int | None:
        return self.job.lane_of(self.me)


def decide(view: View, mine: Record) -> list[Step]:
    """The steps to take now, in order. Empty means: wait for the chain, for others, or for ever."""
    job, lane = view.job, view.lane
    if view.foreseen:
        return [*_foreseen(view, mine, lane)]
    if job.state is State.OPEN:
        return _bidding(view, mine)
    if job.final and view.deep and lane is not None and _owes_half_still(job.lanes[lane], mine):
        return [Step.GIVE_HALF]
    if job.final or lane is None or (is_absent(job, lane) and mine.keys):
        return [Step.FINISH] if view.deep and not mine.done else []
    return [*_in_lane(view, mine, lane, job.lanes[lane])]


def _owes_half_still(lane: Lane, mine: Record) -> bool:
    """A requester that has paid gets what it paid for, even if this node slept through the challenge (P4.4)."""
    return lane.payout > 0 and mine.sealed is not None and not mine.half_given


def is_absent(job: JobState, lane: int) -> bool:
    """Whether the work window went by without a word of this lane."""
    return job.lanes[lane].word is None and job.state is not State.RUNNING


def may_be_accepted(job: JobState, mine: Record, now: int) -> bool:
    """Whether a bid binds this node still. A requester may leave its job open for ever; a bid ends by itself."""
    return job.state is State.OPEN and mine.price is not None and now <= mine.valid_until


def _is_waning(job: JobState, mine: Record, now: int) -> bool:
    """Whether a bid for a call should be renewed: half of its life is over, and not all of the call's."""
    return now < job.deadline and mine.valid_until < min(job.deadline, now + valid_for(job) // 2)


def _bidding(view: View, mine: Record) -> list[Step]:
    if mine.price is None or (is_called(view.job) and _is_waning(view.job, mine, view.now)):
        return [Step.JUDGE]
    return [Step.SEND_BID] if may_be_accepted(view.job, mine, view.now) else []


def _in_lane(view: View, mine: Record, index: int, lane: Lane) -> Iterator[Step]:
    job = view.job
    in_time = view.now < job.deadline
    if lane.word is None and in_time and job.state is State.RUNNING:
        yield from _towards_submission(view, mine)
    elif lane.word and mine.sealed and view.deep:
        yield Step.TELL_REQUESTER
    if index in job.pending and in_time and job.state in (State.COMMITTING, State.SCORED):
        yield Step.ANSWER
    if job.state is State.COMMITTING and mine.sealed:
        yield Step.DELIVER
    if job.state is State.SCORED and mine.sealed and view.deep and is_paid(job, index):
        yield Step.GIVE_HALF
    if job.state is State.SCORED and mine.sealed and view.deep and in_time:
        yield from _waiving(view, index)
    if view.proposed and lane.word and mine.sealed:
        yield Step.AGREE
    yield from _deadline_moves(view, mine, index)


def _foreseen(view: View, mine: Record, index: int | None) -> Iterator[Step]:
    """Nothing of it is on chain: only what leads to a `conclude` that brings it there."""
    if index is None or not mine.sealed or view.now >= view.job.deadline:
        return
    if is_paid(view.job, index):
        yield Step.GIVE_HALF
    yield from _waiving(view, index)


def _waiving(view: View, index: int) -> Iterator[Step]:
    """The challenge is all a provider has against a score that is too low: it is signed away for a good one (P6.1)."""
    job = view.job
    if job.pending or job.standing is None:
        return
    price = job.lanes[index].price
    if 100 * lane_pays(job.terms, price, job.standing[index]) < view.waive_at * price:
        return
    yield Step.WAIVE
    if view.waived_since is not None and view.now >= view.waived_since + CONCLUDE_AFTER_S * (1 + index):
        yield Step.CONCLUDE


def is_paid(job: JobState, index: int) -> bool:
    """Whether the standing result pays this lane, so that the requester is owed half b (P4.4)."""
    return job.standing is not None and lane_pays(job.terms, job.lanes[index].price, job.standing[index]) > 0


def _towards_submission(view: View, mine: Record) -> Iterator[Step]:
    """The first thing that is missing on the way to one word on chain."""
    if mine.keys_bad:
        yield Step.SUBMIT_NO_KEYS
    elif mine.uploaded:
        yield Step.SUBMIT
    elif mine.sealed:
        yield Step.UPLOAD
    elif mine.weights_hash:
        yield Step.SEAL
    elif mine.data_ready:
        if view.training:
            yield Step.WATCH
        else:
            yield Step.STAND_IN if is_hopeless(view.job, mine, view.now) else Step.TRAIN
    elif mine.keys:
        yield Step.FETCH_DATA
    elif view.split_known:
        yield Step.TAKE_KEYS
        if not mine.demanded and _keys_are_late(view.job, view.now):
            yield Step.DEMAND_KEYS


def is_hopeless(job: JobState, mine: Record, now: Timestamp) -> bool:
    """Whether the program, by its own fault, will not leave weights in time: failed too often, or failed and late. A
    failure of this node's own is none of it, and is tried again for as long as there is time."""
    return mine.faults >= MOST_FAILURES or (mine.faults > 0 and time_to_train(job, mine, now) <= 0)


def time_to_train(job: JobState, mine: Record, now: Timestamp) -> float:
    """Seconds that the next attempt may take."""
    left = job.deadline - now
    return left - job.terms.workWindow / LAST_TENTH if mine.faults else left * TRAINING_SHARE


def is_own_fault(killed_by: str, ran_s: float, asked_s: float, window: int) -> bool:
    """Whether an attempt that ended badly did so by what its program does: whatever a program can bring about counts,
    lest it choose how to fail. What is left is the owner who stopped it, and time that this node did not give it."""
    if killed_by == "deadline":
        return ran_s >= min(asked_s, ENOUGH * window)
    return killed_by != "stopped"


def _keys_are_late(job: JobState, now: Timestamp) -> bool:
    """Patience is over, and the half of the window in which the contract takes demands is not; or another provider's
    demand runs, which this one joins, since the bond goes to those who demanded (P4.5)."""
    if REQUESTER in job.demanded:
        return REQUESTER in job.pending
    window = job.terms.workWindow
    waited = now - (job.deadline - window)
    return window // PATIENCE <= waited <= window // 2


def _deadline_moves(view: View, mine: Record, index: int) -> Iterator[Step]:
    """Whoever worked, or was left without keys, moves the job on; an absent provider leaves it to those it failed."""
    job = view.job
    left_without_keys = not mine.keys and (REQUESTER in job.pending or job.state is State.SCORED)
    if job.lanes[index].word is None and not left_without_keys:
        return
    move = deadline_move(job, Timestamp(view.now - STAGGER_S * index))
    if move == "settle":
        yield Step.SETTLE
    elif move == "close":
        yield Step.CLOSE


# ------------------------------------------------------------------------------------------------- at risk


RISKS = ("training_failed", "submit_at_risk", "frozen_at_risk", "demanded", "half_key_at_risk")
"""Codes of alarms about one job."""


@dataclass(frozen=True)
class Risk:
    """A duty that may be missed: for log, metrics, command and webhook."""

    code: str
    message: str


def risks(view: View, mine: Record) -> list[Risk]:
    """What the operator should hear about now (issue 2 item 7)."""
    job, index = view.job, view.lane
    if index is None or job.final:
        return []
    lane, found = job.lanes[index], []
    if job.state is State.RUNNING and lane.word is None:
        if mine.failures >= MOST_FAILURES or mine.untrained:
            then = "; weights that nobody trained stand in" if mine.untrained else ""
            found.append(Risk("training_failed", f"{mine.failures} attempts failed: {mine.failure}{then}"))
        elif at_risk(job.deadline, view.now, job.terms.workWindow):
            found.append(Risk("submit_at_risk", f"{job.deadline - view.now} s left to submit, collateral is at stake"))
    if view.standing and view.standing.at_risk:
        how = "it stays frozen" if view.standing.frozen else "it goes on against the owner's wish"
        found.append(Risk("frozen_at_risk", f"no time to stand still: {how} ({view.standing.why})"))
    if index in job.pending:
        found.append(Risk("demanded", f"{job.deadline - view.now} s left to answer a demand, the lane is at stake"))
    owes_half = job.state is State.SCORED and is_paid(job, index) and not mine.half_given
    if owes_half and at_risk(job.deadline, view.now, job.terms.challengeWindow, spare=0.5):
        found.append(Risk("half_key_at_risk", "the requester may demand half b: it has not been sent yet"))
    return found
