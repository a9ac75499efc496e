"""A job's life as a pure fold over chain events (P3): the same words as in the contract, API, CLI, pages and docs.

     post      accept        submit (all lanes)   commit         reveal        challenge      settle
    Open ───▶ Running ─────▶ Committing ──────▶ Revealing ─────▶ Scored ─────▶ Settled
      │          │               │                  │               └ appeal, or no majority ─▶ Committing, next round
      └ expire   └ close         └ close            └ close          every deadline move by anyone

`transition(job, event)` returns the job after an event and never looks at a clock or a socket, so the service's index,
`job watch --trustless` and a rebuild agree to the row. `deadline_move(job, now)` says which move anyone may make now.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from heldout.market.messages import BAD, HIGHEST_SCORE, MISSING, NO_DATA, NO_KEYS, pack_vote, unpack_vote
from heldout.market.money import Ppm, Wei, payout_down
from heldout.market.split import SEED_DELAY, round_size
from heldout.market.terms import Address, BlockNumber, JobId, JobTerms, Timestamp
from heldout.market.texts import tr

REQUESTER = 8
"""The requester's number as a demanded party; lanes are 0 to 7."""
VACANT = 0xFFFFFFFF
"""A place of a committee for which no live seat was drawn."""
ROUNDS = 3


class State(IntEnum):
    NONE = 0
    OPEN = 1
    RUNNING = 2
    COMMITTING = 3
    REVEALING = 4
    SCORED = 5
    SETTLED = 6


class Outcome(IntEnum):
    NONE = 0
    MEASURED = 1
    AGREED = 2
    CANCELLED = 3
    EXPIRED = 4
    UNSUBMITTED = 5
    TRAINING_KEYS_WITHHELD = 6
    HELD_OUT_KEYS_WITHHELD = 7
    VOID = 8


class Ending(IntEnum):
    """How a round ended; decides which of its seats are paid and which are fined (P3, P5.4)."""

    UNDECIDED = 0
    UNCOMMITTED = 1
    """Too few commits: nothing was revealed, absent seats are fined."""
    TIED = 2
    """Revealed without a majority in some lane."""
    DECIDED = 3
    DEFAULTED = 4
    """A party's unanswered demand ended it: its seats served, and none of them was absent."""


class Purpose(IntEnum):
    PAYOUT = 0
    ROYALTY = 1
    FEE = 2
    REFUND = 3
    BOND = 4
    COLLATERAL = 5
    APPEAL_BOND = 6
    BURNED = 7


@dataclass(frozen=True)
class ChainEvent:
    """One decoded log of the market contract, with where it stands in the chain."""

    name: str
    args: dict[str, Any]
    """By ABI name; bytes32 and bytes as bytes, structs as dicts, addresses checksummed, enums as int."""
    block: BlockNumber
    block_hash: str
    tx: str
    log_index: int
    timestamp: Timestamp

    @property
    def job(self) -> JobId | None:
        job = self.args.get("job")
        return JobId("0x" + job.hex()) if isinstance(job, bytes) else None

    @property
    def id(self) -> str:
        """`block:logIndex`, the cursor of the event stream."""
        return f"{self.block}:{self.log_index}"


@dataclass(frozen=True)
class Movement:
    """One row of a job's money table (P1.4). `incoming` is money that came into the job."""

    incoming: bool
    account: str
    """An address, `seat N` for slashed stake, or the zero address for what was burned."""
    purpose: Purpose | None
    """None for slashed stake."""
    amount: Wei
    tx: str


@dataclass(frozen=True)
class Lane:
    """One provider's place in a job."""

    provider: Address
    price: Wei
    wrap_key: bytes
    word: bytes | None = None
    score: int | None = None
    """Final score or code, once settled."""
    payout: Wei = Wei(0)


@dataclass(frozen=True)
class Round:
    """One committee's work. Places index `seats`."""

    seats: tuple[int, ...] = ()
    seed: bytes = b""
    commits: dict[int, bytes] = field(default_factory=dict)
    votes: dict[int, bytes] = field(default_factory=dict)
    evidence: dict[int, bytes] = field(default_factory=dict)
    result: bytes | None = None
    appellant: Address | None = None
    bond: Wei = Wei(0)
    """Of the appellant."""
    seed_block: int = 0
    """Number of the block whose hash draws the seats."""
    reseeded: bool = False
    ending: Ending = Ending.UNDECIDED
    missing: frozenset[int] = frozenset()
    """Lanes that were MISSING, whatever the votes say, when the round was decided."""


@dataclass(frozen=True)
class JobState:
    """Everything the chain says about a job."""

    id: JobId
    terms: JobTerms
    posted: ChainEvent
    state: State = State.OPEN
    outcome: Outcome = Outcome.NONE
    round: int = 0
    deadline: Timestamp = Timestamp(0)
    accept_block: BlockNumber | None = None
    seat_count: int = 0
    lanes: tuple[Lane, ...] = ()
    rounds: tuple[Round, ...] = ()
    demanded: frozenset[int] = frozenset()
    pending: frozenset[int] = frozenset()
    answers: tuple[tuple[State, int, int, bytes], ...] = ()
    """(stage, round, party, envelopes) of every answer."""
    money: tuple[Movement, ...] = ()
    displaced: Timestamp = Timestamp(0)
    """The deadline before the last move, which a demand displaces."""
    stage_end: Timestamp = Timestamp(0)
    """The deadline that a pending demand displaced."""
    silent: frozenset[int] = frozenset()
    """Parties whose demand has just run out: the next move says what comes of it."""
    missing: frozenset[int] = frozenset()
    """Lanes not submitted, or demanded while Committing and silent."""
    half_withheld: frozenset[int] = frozenset()
    """Lanes demanded while Scored and silent: MISSING if the lane would be paid."""
    keys_withheld: frozenset[int] = frozenset()
    """Lanes whose held-out keys the requester was asked for in vain: NO_DATA."""
    demanders: frozenset[int] = frozenset()
    """Lanes whose provider demanded in this stage."""

    @property
    def final(self) -> bool:
        return self.state is State.SETTLED

    @property
    def money_in(self) -> Wei:
        return Wei(sum(m.amount for m in self.money if m.incoming))

    @property
    def money_out(self) -> Wei:
        return Wei(sum(m.amount for m in self.money if not m.incoming))

    @property
    def sums(self) -> bool:
        """P1.4: a final job has paid out exactly what was put in."""
        return self.money_in == self.money_out if self.final else self.money_in >= self.money_out

    @property
    def standing(self) -> tuple[int, ...] | None:
        """The lanes' values of the latest round that has a result."""
        decided = [r.result for r in self.rounds if r.result is not None]
        return unpack_vote(decided[-1], len(self.lanes)) if decided else None

    @property
    def all_lanes(self) -> frozenset[int]:
        return frozenset(range(len(self.lanes)))

    @property
    def submitted(self) -> frozenset[int]:
        return frozenset(i for i, lane in enumerate(self.lanes) if lane.word is not None)

    @property
    def no_keys(self) -> frozenset[int]:
        """Lanes whose provider could not open its training envelope (P4.5)."""
        return frozenset(i for i, lane in enumerate(self.lanes) if lane.word == NO_KEYS)

    @property
    def deciding_round(self) -> int:
        """The last round that found a majority in every lane, from 1; 0 if none did."""
        return next((i for i in range(len(self.rounds), 0, -1) if self.rounds[i - 1].result is not None), 0)

    @property
    def locked(self) -> Wei:
        """All money the job holds now."""
        return Wei(self.money_in - self.money_out)

    def size_of(self, round_: int) -> int:
        """Seats of a round, vacant places included."""
        return round_size(self.terms.committee, round_)

    def overlaid(self, word: bytes, forgiven: Set[int] = frozenset()) -> bytes:
        """A result word, and over it what unanswered demands made of a lane (P4.5); `forgiven` lanes owe no half."""
        values = list(unpack_vote(word, len(self.lanes)))
        for lane in range(len(values)):
            if lane in self.missing | (self.half_withheld - forgiven):
                values[lane] = MISSING
            elif lane in self.keys_withheld:
                values[lane] = NO_DATA
        return pack_vote(values)

    def lane_of(self, provider: str) -> int | None:
        """The lane an address holds, if any."""
        return next((i for i, lane in enumerate(self.lanes) if lane.provider.lower() == provider.lower()), None)


def lane_pays(terms: JobTerms, price: Wei, score: int) -> Wei:
    """What a standing score would pay its lane: nothing for a code that is the provider's fault (P3.3)."""
    if score in (BAD, MISSING):
        return Wei(0)
    if score > HIGHEST_SCORE:  # NO_DATA: the lane is paid in full
        return price
    return payout_down(price, Ppm(score), terms.floor, terms.target, terms.floorPay)


# ---------------------------------------------------------------------------------------------- transition


def transition(job: JobState | None, event: ChainEvent) -> JobState | None:
    """The job after `event`; None before `Posted`. Events of no concern to a job leave it as it is."""
    if event.name == "Posted" and event.job is not None:
        return JobState(event.job, JobTerms.from_values(event.args["terms"]), event)
    if job is None or event.job != job.id:
        return job
    change = _CHANGES.get(event.name)
    return change(job, event) if change else job


def fold(events: Iterable[ChainEvent]) -> dict[JobId, JobState]:
    """Every job that a run of events speaks of."""
    jobs: dict[JobId, JobState] = {}
    for event in events:
        if event.job is None:
            continue
        after = transition(jobs.get(event.job), event)
        if after is not None:
            jobs[event.job] = after
    return jobs


def _accepted(job: JobState, event: ChainEvent) -> JobState:
    lanes = tuple(Lane(bid["provider"], Wei(bid["price"]), bytes(bid["wrapKey"])) for bid in event.args["bids"])
    return replace(job, lanes=lanes, accept_block=event.block, seat_count=event.args["seatCount"])


def _moved(job: JobState, event: ChainEvent) -> JobState:
    state, round_, deadline = State(event.args["state"]), event.args["round"], Timestamp(event.args["deadline"])
    before, job = job, _after_silence(job, state) if job.silent else job
    job = replace(job, state=state, round=round_, deadline=deadline, displaced=job.deadline, silent=frozenset())
    if round_ != before.round:
        return _round_begins(before, job, event)
    if state is before.state:
        return job
    if state is State.SCORED:
        return _scored(before, job)
    if state is State.REVEALING:
        return replace(job, pending=frozenset())
    return replace(job, demanded=frozenset(), pending=frozenset(), demanders=frozenset())


def _round_begins(before: JobState, job: JobState, event: ChainEvent) -> JobState:
    """Out of Running, out of a round without a result, or by an appeal."""
    if before.state is State.RUNNING:
        job = replace(job, missing=job.all_lanes - job.submitted)
    elif before.state is not State.SCORED:
        job = _with_round(job, before.round, ending=_without_result(before))
    job = _with_round(job, job.round, seed_block=event.block + SEED_DELAY)
    none: frozenset[int] = frozenset()
    # A lane without keys counts as asked for its weights (P4.5).
    return replace(job, demanded=job.no_keys, pending=none, demanders=none, half_withheld=none, keys_withheld=none)


def _scored(before: JobState, job: JobState) -> JobState:
    """By a majority, by the result before, or because nothing is left to wait for."""
    job = replace(job, pending=frozenset())
    if before.state is State.RUNNING:
        return job if before.silent else replace(job, outcome=Outcome.UNSUBMITTED, missing=job.all_lanes)
    if before.silent:
        return job
    if before.rounds[-1].ending is Ending.UNDECIDED:
        job = _with_round(job, job.round, ending=_without_result(before))
    if not job.deciding_round:
        return replace(job, outcome=Outcome.VOID)
    return replace(job, demanded=frozenset(), demanders=frozenset())


def _without_result(job: JobState) -> Ending:
    return Ending.TIED if job.state is State.REVEALING else Ending.UNCOMMITTED


def _after_silence(job: JobState, state: State) -> JobState:
    """What unanswered demands mean in each stage (P4.5)."""
    lanes = job.silent - {REQUESTER}
    if job.state is State.RUNNING:
        return replace(job, outcome=Outcome.TRAINING_KEYS_WITHHELD)
    if job.state is State.SCORED:
        withheld = job.demanders if REQUESTER in job.silent else job.keys_withheld
        return replace(job, half_withheld=job.half_withheld | lanes, keys_withheld=withheld)
    job = replace(job, missing=job.missing | lanes)
    if state is State.COMMITTING:
        return job
    delivered = job.all_lanes - job.missing
    outcome = Outcome.HELD_OUT_KEYS_WITHHELD if delivered else Outcome.MEASURED
    job = _with_round(job, job.round, ending=Ending.DEFAULTED)
    return replace(job, keys_withheld=delivered, outcome=outcome)


def _with_lane(job: JobState, lane: int, **changes: Any) -> JobState:
    lanes = list(job.lanes)
    lanes[lane] = replace(lanes[lane], **changes)
    return replace(job, lanes=tuple(lanes))


def _with_round(job: JobState, round_: int, **changes: Any) -> JobState:
    rounds = list(job.rounds) + [Round() for _ in range(round_ - len(job.rounds))]
    rounds[round_ - 1] = replace(rounds[round_ - 1], **changes)
    return replace(job, rounds=tuple(rounds))


def _submitted(job: JobState, event: ChainEvent) -> JobState:
    return _with_lane(job, event.args["lane"], word=bytes(event.args["word"]))


def _drawn(job: JobState, event: ChainEvent) -> JobState:
    return _with_round(job, event.args["round"], seed=bytes(event.args["seed"]), seats=tuple(event.args["seats"]))


def _committed(job: JobState, event: ChainEvent) -> JobState:
    round_, place = event.args["round"], event.args["place"]
    commits = {**job.rounds[round_ - 1].commits, place: bytes(event.args["hash"])}
    return _with_round(job, round_, commits=commits)


def _revealed(job: JobState, event: ChainEvent) -> JobState:
    round_, place = event.args["round"], event.args["place"]
    before = job.rounds[round_ - 1]
    return _with_round(
        job,
        round_,
        votes={**before.votes, place: bytes(event.args["vote"])},
        evidence={**before.evidence, place: bytes(event.args["evidence"])},
    )


def _reseeded(job: JobState, event: ChainEvent) -> JobState:
    return _with_round(job, event.args["round"], reseeded=True, seed_block=event.args["seedBlock"])


def _round_scored(job: JobState, event: ChainEvent) -> JobState:
    result = bytes(event.args["result"])
    return _with_round(job, event.args["round"], result=result, ending=Ending.DECIDED, missing=job.missing)


def _appealed(job: JobState, event: ChainEvent) -> JobState:
    return _with_round(job, event.args["round"], appellant=event.args["by"], bond=Wei(event.args["bond"]))


def _demanded(job: JobState, event: ChainEvent) -> JobState:
    party = event.args["party"]
    demander = job.lane_of(event.args["by"])
    if party == REQUESTER and job.state is not State.COMMITTING and demander is not None:
        job = replace(job, demanders=job.demanders | {demander})
    if not job.pending:
        job = replace(job, stage_end=job.displaced)
    deadline = Timestamp(event.args["deadline"])
    return replace(job, demanded=job.demanded | {party}, pending=job.pending | {party}, deadline=deadline)


def _answered(job: JobState, event: ChainEvent) -> JobState:
    party = event.args["party"]
    answer = (job.state, job.round, party, bytes(event.args["envelopes"]))
    deadline = Timestamp(event.args["deadline"])
    return replace(job, pending=job.pending - {party}, answers=(*job.answers, answer), deadline=deadline)


def _unanswered(job: JobState, event: ChainEvent) -> JobState:
    party = event.args["party"]
    return replace(job, pending=job.pending - {party}, silent=job.silent | {party})


def _money(job: JobState, event: ChainEvent) -> JobState:
    args = event.args
    if event.name == "Slashed":
        row = Movement(True, f"seat {args['seat']}", None, Wei(args["amount"]), event.tx)
    else:
        incoming = event.name == "Locked"
        account = args["from"] if incoming else args["to"]
        row = Movement(incoming, account, Purpose(args["purpose"]), Wei(args["amount"]), event.tx)
    return replace(job, money=(*job.money, row))


def _lane_settled(job: JobState, event: ChainEvent) -> JobState:
    """Of a job that nobody accepted, the agreement names the providers (P6.1); its price is the payout."""
    lane, payout = event.args["lane"], Wei(event.args["payout"])
    if lane == len(job.lanes):
        job = replace(job, lanes=(*job.lanes, Lane(event.args["provider"], payout, b"")))
    return _with_lane(job, lane, score=event.args["score"], payout=payout)


def _artifact(job: JobState, event: ChainEvent) -> JobState:
    """What parties agreed on need not have been submitted before."""
    return _with_lane(job, event.args["lane"], word=bytes(event.args["word"]))


def _settled(job: JobState, event: ChainEvent) -> JobState:
    outcome = Outcome(event.args["outcome"])
    return replace(job, state=State.SETTLED, outcome=outcome, pending=frozenset())


_CHANGES = {
    "Accepted": _accepted,
    "Moved": _moved,
    "Submitted": _submitted,
    "Drawn": _drawn,
    "Reseeded": _reseeded,
    "Committed": _committed,
    "Revealed": _revealed,
    "RoundScored": _round_scored,
    "Appealed": _appealed,
    "Demanded": _demanded,
    "Answered": _answered,
    "Unanswered": _unanswered,
    "Locked": _money,
    "Paid": _money,
    "Slashed": _money,
    "LaneSettled": _lane_settled,
    "Artifact": _artifact,
    "Settled": _settled,
}


# ------------------------------------------------------------------------------------------ deadline moves

_MOVES = {
    State.OPEN: "expire",
    State.RUNNING: "close",
    State.COMMITTING: "close",
    State.REVEALING: "close",
    State.SCORED: "settle",
}


def deadline_move(job: JobState, now: Timestamp) -> str | None:
    """The contract function anyone may call now because the stage's deadline has passed, if any (P1.1).

    A pending demand of the challenge is closed before the job can be settled (P4.5).
    """
    if job.final or now < job.deadline:
        return None
    return "close" if job.pending else _MOVES[job.state]


def if_nobody_acts(job: JobState) -> str:
    """One sentence for people: what happens at the deadline of the present stage."""
    sentences = {
        State.OPEN: tr("the escrow goes back to the requester"),
        State.RUNNING: tr(
            "absent providers lose their collateral to the requester; with no submission all else returns"
        ),
        State.COMMITTING: tr("with a majority of commits the reveal begins; otherwise a bigger committee is drawn"),
        State.REVEALING: tr("a majority of reveals decides; otherwise a bigger committee is drawn"),
        State.SCORED: tr("the job is settled and everybody is paid"),
    }
    if job.pending:
        who = ", ".join(party_name(party) for party in sorted(job.pending))
        return tr("%(who)s did not answer a demand and bears the cost", who=who)
    return sentences.get(job.state, tr("nothing: the job is final"))


def party_name(party: int) -> str:
    """A demanded party: lanes have numbers."""
    return tr("the requester") if party == REQUESTER else tr("lane %(lane)s", lane=party)
