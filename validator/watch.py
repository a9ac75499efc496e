"""Which jobs have a committee at work, and what the chain says of each: everything `duties.decide` has to see.

The set of jobs only ever errs by holding too many: an event adds a job, and a job leaves once it is settled as deep as
the network file asks. So a reorganised chain needs no undoing here, and what counts is read anew at every head.
"""

from dataclasses import dataclass

from heldout.market.chain import Block, Chain, Cursor
from heldout.market.chain.views import JobView
from heldout.market.errors import ChainProblem, Reverted
from heldout.market.journal import Journal
from heldout.market.lifecycle import VACANT, State
from heldout.market.mail import REREAD
from heldout.market.messages import NO_KEYS, Letter, decode_answer
from heldout.market.terms import Address, JobId
from heldout.validator.duties import Sight
from heldout.validator.measuring import Case
from heldout.validator.opening import Entry

_KEY = "watch"
_SAVE_EVERY_BLOCKS = 64


@dataclass(frozen=True)
class Known:
    """What cannot change any more about a job that is being measured."""

    case: Case
    to_me: tuple[Letter, ...]
    """Letters for this node among the answers on chain: no limit for what strangers send may apply to them."""


class Watch:
    """Follows the market's events. `me` is the hot address whose seats count."""

    def __init__(self, chain: Chain, journal: Journal, me: Address) -> None:
        self._chain = chain
        self._journal = journal
        self._me = me
        record = journal.get(_KEY)
        self._cursor = Cursor.from_json(record["cursor"]) if record else chain.start()
        self._saved = self._cursor.block
        self.jobs: set[JobId] = {JobId(job) for job in record["jobs"]} if record else set()
        self._owners: dict[tuple[JobId, int, tuple[int, ...]], dict[int, Address]] = {}

    def advance(self, head: Block) -> None:
        """Read all events up to `head`."""
        while self._cursor.block < head.number:
            followed = self._chain.follow(self._cursor)
            for event in followed.events:
                if event.name == "Moved" and event.args["state"] == State.COMMITTING and event.job:
                    self.jobs.add(event.job)
            stuck = followed.cursor == self._cursor
            self._cursor = followed.cursor
            if stuck:
                break
        if self._cursor.block - self._saved >= _SAVE_EVERY_BLOCKS:
            self._journal.put(_KEY, {"cursor": self._cursor.to_json(), "jobs": sorted(self.jobs)})
            self._saved = self._cursor.block

    def forget(self, job: JobId) -> None:
        self.jobs.discard(job)
        self._owners = {key: owners for key, owners in self._owners.items() if key[0] != job}

    def is_over(self, job: JobId, head: Block) -> bool:
        """Whether the job was settled so deep that no reorg brings it back, be it deeper than the confirmations."""
        network = self._chain.network
        deep = max(network.deploy_block, head.number - max(REREAD, network.confirmations))
        return self._chain.job(job, at=deep).state is State.SETTLED

    def sight(self, job: JobId, head: Block) -> Sight | None:
        """The job at `head`; None unless a committee works on it or has just done so. `places` is empty for a committee
        that is none of mine, or not drawn for sure yet."""
        view = self._chain.job(job, at=head)
        if view.state not in (State.COMMITTING, State.REVEALING, State.SCORED) or not view.round:
            return None
        round_ = self._chain.round(job, view.round, at=head)
        seats = round_.seats or self._drawn(job, view, head)
        hot = self._owners_of(job, view, seats, head)
        mine = {place: seats[place] for place, owner in hot.items() if owner == self._me}
        terms, deep = self._chain.terms(job), self._is_deep(job, view, head)
        return Sight(job, terms, view, round_, mine, head.number, deep, seats, hot)

    def _owners_of(self, job: JobId, view: JobView, seats: tuple[int, ...], head: Block) -> dict[int, Address]:
        """The hot key at each place that is not vacant."""
        key = (job, view.round, seats)
        if key not in self._owners:
            drawn = {place: seat for place, seat in enumerate(seats) if seat != VACANT}
            owners = self._chain.seats(drawn.values(), at=head)
            self._owners[key] = {place: owner.hot for place, owner in zip(drawn, owners, strict=True)}
        return self._owners[key]

    def _drawn(self, job: JobId, view: JobView, head: Block) -> tuple[int, ...]:
        """The committee nobody has pinned yet; none while its seed may still change, or once its block is gone."""
        if view.state is not State.COMMITTING or not self._is_deep(job, view, head):
            return ()
        try:
            return self._chain.committee(job, at=head)[1]
        except Reverted as refused:
            if refused.name in ("SeedNotReady", "SeedGone"):
                return ()
            raise

    def _is_deep(self, job: JobId, view: JobView, head: Block) -> bool:
        """P4.1 for the seed block; for reveals, that the commits they answer to are as deep."""
        confirmations = self._chain.network.confirmations
        if view.state is State.COMMITTING:
            return head.number >= view.seed_block + max(1, confirmations)
        if view.state is State.REVEALING:
            below = self._chain.job(job, at=max(0, head.number - confirmations))
            return (below.state, below.round) == (view.state, view.round)
        return True

    def writers(self, sight: Sight, head: Block) -> frozenset[str]:
        """Whose letters about a job may be of use, in lower case: requester, providers and drawn seats (P4.3)."""
        lanes = self._chain.lanes(sight.job, sight.view.lanes, at=head)
        parties = (sight.terms.requester, *(lane.provider for lane in lanes), *sight.hot.values())
        return frozenset(party.lower() for party in parties)

    def case(self, sight: Sight, head: Block) -> Known:
        """All that measuring needs of the chain."""
        view, job = sight.view, sight.job
        accepted = self._chain.events(view.accept_block, view.accept_block, job=job, names=["Accepted"])
        if not accepted:
            raise ChainProblem(f"the chain changed while {job} was read", hint="try again")
        lanes = self._chain.lanes(job, view.lanes, at=head)
        entries = tuple(
            Entry(job, index, lane.provider, bid["wrapKey"], lane.word)
            for index, (lane, bid) in enumerate(zip(lanes, accepted[-1].args["bids"], strict=True))
        )
        split = self._chain.split(sight.terms, view.accept_block)
        disputed = any(lane.word == NO_KEYS for lane in lanes)
        over = view.state not in (State.COMMITTING, State.REVEALING)
        asked = view.demanded or disputed or view.round > 1  # a new round forgets what the one before demanded
        answers = self._answers(sight, head) if asked or over else ()
        case = Case(job, sight.terms, entries, view.missing, split, answers)
        return Known(case, tuple(letter for letter in answers if letter.receiver.lower() == self._me.lower()))

    def _answers(self, sight: Sight, head: Block) -> tuple[Letter, ...]:
        first, job = sight.view.accept_block, sight.job
        events = self._chain.events(first, head.number, job=job, names=["Answered"])
        letters = (letter for event in events for letter in decode_answer(event.args["envelopes"]))
        return tuple(letter for letter in letters if letter.job == job)
