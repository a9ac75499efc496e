"""A validator's cycle: at one block, look at every committee it sits in, decide, and do it.

    watch ──▶ sight ─┐
                     ├─▶ duties.decide ──▶ actions ──▶ journal, outbox, bench
    ballots, bench ──┘

What cannot be undone is written down first: a ballot is in the journal before its hash is in a transaction, and a
transaction is in the journal before it is on the network. So a node may be killed between any two lines of this file.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from heldout.market.alarm import Alarm
from heldout.market.chain import Block, Chain
from heldout.market.chain.fees import Urgency
from heldout.market.chain.sender import Outbox
from heldout.market.daemon import Isolation
from heldout.market.errors import InsufficientFunds, Reverted
from heldout.market.failpoint import Reach, unarmed
from heldout.market.lifecycle import VACANT, State
from heldout.market.messages import Letter, beside, unpack_vote
from heldout.market.terms import Address, JobId, Timestamp
from heldout.validator.ballots import Ballots
from heldout.validator.bench import Bench, Sample
from heldout.validator.duties import (
    Action,
    Commit,
    CommitAll,
    Demand,
    Duty,
    Forward,
    Measure,
    Mine,
    Move,
    Offer,
    Open,
    Pin,
    Recover,
    Reveal,
    RevealAll,
    Sight,
    calendar,
    decide,
    risk,
)
from heldout.validator.letters import Letters
from heldout.validator.relaying import Relay
from heldout.validator.voting import Ballot, Domain
from heldout.validator.watch import Watch

log = logging.getLogger(__name__)

DUTY_GAS = 400_000
"""A commit that pins, a demand, and a reveal that closes the round: what a new duty must be able to pay."""
RESERVE_GAS = 300_000
"""Left to commits and reveals by everything else this key sends (heldout.market.chain.fees.FeePolicy)."""


@dataclass(frozen=True)
class Entry:
    """A duty and, once its stage allows it to be told, what was voted (P4.7)."""

    duty: Duty
    vote: tuple[int, ...] | None


@dataclass(frozen=True)
class Parts:
    """What a node is built of; the entry point makes them."""

    chain: Chain
    outbox: Outbox
    watch: Watch
    ballots: Ballots
    bench: Bench
    letters: Letters
    relay: Relay
    forward: Callable[[tuple[Letter, ...], Iterable[int]], None]
    """Hands letters on to seats (P4.3)."""
    alarm: Alarm
    show: Callable[[Block, list[Entry]], None]
    """Takes the calendar after each cycle."""
    sent: Callable[[str], None]
    """Takes the function of each transaction, once: `commit` and `commitAll` tell the roads apart."""
    reach: Reach = unarmed
    capable: bool = True
    """Whether the known answers came out right (P9.4)."""


class ValidatorNode:
    """For heldout.market.daemon.Loop."""

    def __init__(self, parts: Parts, me: Address) -> None:
        self._parts = parts
        self._me = me
        self._isolation = Isolation(parts.alarm)
        self._calendar: dict[JobId, list[Entry]] = {}
        self._tried: dict[tuple[JobId, int, int], object] = {}
        self._refused: dict[str, str] = {}
        self._forwarded: set[str] = set()
        self._sent: set[str] = set()
        self._affordable: bool | None = None

    def step(self, head: Block, /) -> None:
        parts = self._parts
        parts.watch.advance(head)
        parts.outbox.poll()
        self._affordable = None
        for job in sorted(parts.watch.jobs):
            self._isolation.run(job, partial(self._tend, job, head))
        parts.show(head, [entry for entries in self._calendar.values() for entry in entries])

    # --------------------------------------------------------------------------------------------- one job

    def _tend(self, job: JobId, head: Block) -> None:
        sight = self._parts.watch.sight(job, head)
        if sight is None:
            self._calendar.pop(job, None)
            if self._parts.watch.is_over(job, head):
                self._forget(job)
            return
        mine = self._mine(sight, head)
        if sight.places:
            self._calendar[job] = self._entries(sight, mine)
            self._warn(sight, mine, head.timestamp)
        for action in decide(sight, mine, head.timestamp):
            self._do(action, sight, head)

    def _mine(self, sight: Sight, head: Block) -> Mine:
        if not sight.places:
            return Mine()
        ballots = self._parts.ballots.seats(self._domain(sight))
        # In this order: if nothing is being measured, these findings are the last.
        is_measuring = self._parts.bench.is_measuring(sight.job)
        findings = self._parts.bench.findings(sight.job)
        exchange = self._parts.relay.exchange(sight, self._domain(sight), head)
        return Mine(findings, ballots, is_measuring, self._may_vote(sight, ballots), exchange)

    def _may_vote(self, sight: Sight, ballots: frozenset[int]) -> bool:
        """No new duty on a machine that computes wrongly, or that could not pay for the reveal (threat 37)."""
        if sight.view.state is not State.COMMITTING or ballots >= set(sight.places.values()):
            return True
        if not self._parts.capable:
            return False
        if self._affordable is None:
            self._affordable = self._parts.outbox.affordable(DUTY_GAS * max(1, len(sight.places)))
        if self._affordable:
            self._parts.alarm.clear("low_gas")
        else:
            self._parts.alarm.ring("low_gas", f"{self._me} cannot pay for another duty: send it gas money")
        return self._affordable

    def _domain(self, sight: Sight) -> Domain:
        network = self._parts.chain.network
        return Domain(network.chain_id, network.market, sight.job, sight.view.round)

    def _forget(self, job: JobId) -> None:
        self._parts.watch.forget(job)
        self._parts.bench.forget(job)
        self._parts.letters.forget(job)
        self._parts.relay.forget(job)
        for code, about in self._parts.alarm.active:
            if about == job:
                self._parts.alarm.clear(code, job=job)
        self._tried = {key: value for key, value in self._tried.items() if key[0] != job}
        self._refused = {intent: why for intent, why in self._refused.items() if job not in intent}
        self._sent = {intent for intent in self._sent if job not in intent}
        self._forwarded = {key for key in self._forwarded if job not in key}

    # ---------------------------------------------------------------------------------------------- deeds

    def _do(self, action: Action, sight: Sight, head: Block) -> None:
        match action:
            case Measure():
                self._measure(sight, head)
            case Offer(seats):
                self._offer(sight, seats, head)
            case CommitAll():
                self._commit_all(sight)
            case Open(seats):
                had = self._collected(sight, head)
                self._parts.relay.open(sight, self._domain(sight), seats, had, head)
            case RevealAll():
                self._reveal_all(sight, head)
            case Commit(place, seat):
                self._commit(sight, place, seat)
            case Recover(place, seat):
                self._recover(sight, place, seat, head)
            case Reveal(place, seat):
                self._reveal(sight, place, seat, head)
            case Forward():
                self._forward(sight)
            case Demand(party, place):
                log.info("job %s: demanding what party %d owes", sight.job, party)
                self._send(sight, f"demand:{party}", "demand", sight.terms.as_tuple(), party, place)
            case Pin():
                self._send(sight, f"pin:{sight.view.seed_block}", "pin", sight.job)
            case Move("close"):
                self._send(sight, f"close:{sight.view.deadline}", "close", sight.job)
            case Move("settle"):
                self._send(sight, f"settle:{sight.view.deadline}", "settle", sight.terms.as_tuple())

    def _send(self, sight: Sight, what: str, function: str, *args: object, urgency: Urgency = Urgency.NORMAL) -> None:
        """Once per stage, under a name that says what for. What contract or purse refuse is told once: the next cycle
        decides anew, and the other seats of the job must not wait for this one (threat 38)."""
        intent = f"{what}:{sight.job}:{sight.view.round}"
        try:
            self._parts.outbox.send(intent, function, *args, urgency=urgency)
            if intent not in self._sent:
                self._sent.add(intent)
                self._parts.sent(function)
        except (Reverted, InsufficientFunds) as refused:
            if self._refused.get(intent) != refused.message:
                log.warning("%s was not sent: %s. %s", intent, refused.message, refused.hint)
            self._refused[intent] = refused.message
            if isinstance(refused, InsufficientFunds):
                self._parts.alarm.ring("low_gas", refused.message)
            elif refused.name == "WrongReveal" and function == "reveal":
                self._ring_foreign(sight, what)

    def _measure(self, sight: Sight, head: Block) -> None:
        if self._parts.bench.is_measuring(sight.job):
            return
        known = self._parts.watch.case(sight, head)
        sample = Sample(known.case, (*known.to_me, *self._collected(sight, head)), head.timestamp)
        if self._parts.bench.put(sample):
            log.info("job %s: measuring %d lanes, %d letters", sight.job, sight.view.lanes, len(sample.letters))

    def _collected(self, sight: Sight, head: Block) -> tuple[Letter, ...]:
        """All letters about a job that have come from its parties."""
        self._parts.letters.collect(sight.job, self._parts.watch.writers(sight, head))
        return self._parts.letters.of(sight.job)

    def _cast(self, sight: Sight, seat: int) -> Ballot:
        """In the journal, and by either road the only one of its round."""
        findings = self._parts.bench.findings(sight.job)
        return self._parts.ballots.cast(self._domain(sight), seat, findings.lanes if findings else ())

    def _offer(self, sight: Sight, seats: Iterable[tuple[int, int]], head: Block) -> None:
        offered = [self._cast(sight, seat).seat for _, seat in seats]
        self._collected(sight, head)
        self._parts.relay.offer(sight, self._domain(sight), offered, head)
        self._parts.reach("after_offer")

    def _commit_all(self, sight: Sight) -> None:
        """A batch is named by what is in it: another set of signatures is another intent. Who sends it has signed by
        that, and saves the gas of its own signatures."""
        hashes, gathered = self._parts.relay.commits(sight, self._domain(sight))
        signatures = [b"" if place in sight.places else each for place, each in enumerate(gathered)]
        self._parts.reach("before_commit_all")
        name = f"commit_all:{sha256(b''.join((*hashes, *signatures))).hexdigest()[:16]}"
        self._send(sight, name, "commitAll", sight.job, hashes, signatures, urgency=Urgency.COMMIT)

    def _reveal_all(self, sight: Sight, head: Block) -> None:
        openings = self._parts.relay.openings(sight, self._domain(sight), head)
        self._parts.reach("before_reveal_all")
        name = f"reveal_all:{sha256(b''.join(o[1] for o in openings)).hexdigest()[:16]}"
        self._send(sight, name, "revealAll", sight.job, openings, urgency=Urgency.REVEAL)

    def _commit(self, sight: Sight, place: int, seat: int) -> None:
        ballot = self._cast(sight, seat)
        self._parts.reach("before_commit")
        self._send(sight, f"commit:{seat}:{place}", "commit", sight.job, place, ballot.hash, urgency=Urgency.COMMIT)
        self._parts.reach("after_commit")

    def _reveal(self, sight: Sight, place: int, seat: int, head: Block) -> None:
        ballot = self._parts.ballots.get(self._domain(sight), seat)
        assert ballot is not None, "decide reveals only what the journal holds"
        others = beside(self._parts.chain.commits(sight.job, sight.view, head), place)
        opened = (ballot.vote, ballot.evidence, ballot.salt, *others)
        self._send(sight, f"reveal:{seat}:{place}", "reveal", sight.job, place, *opened, urgency=Urgency.REVEAL)
        self._parts.reach("after_reveal")

    def _recover(self, sight: Sight, place: int, seat: int, head: Block) -> None:
        """A commit on chain that this journal does not know: ours from before a disk was lost, or another machine's."""
        findings = self._parts.bench.findings(sight.job)
        attempt = (sight.job, sight.view.round, seat)
        if findings is None or self._tried.get(attempt) == findings.lanes:
            return
        self._tried[attempt] = findings.lanes
        committed = dict(self._parts.chain.commits(sight.job, sight.view, head)).get(place, b"")
        if self._parts.ballots.recover(self._domain(sight), seat, findings.lanes, committed):
            log.info("job %s: the lost vote of seat %d was found again", sight.job, seat)
            self._parts.alarm.clear("foreign_commit", job=sight.job)
        elif not findings.lacking:
            self._ring_foreign(sight, f"seat {seat}")

    def _ring_foreign(self, sight: Sight, what: str) -> None:
        text = f"{what}: the commit on chain is not of this node. Is its key in use on another machine?"
        self._parts.alarm.ring("foreign_commit", text, job=sight.job)

    def _forward(self, sight: Sight) -> None:
        """Once a round, to the seats that have not voted yet and are not mine."""
        key = f"forward:{sight.job}:{sight.view.round}"
        if key in self._forwarded or not sight.round.seats:
            return
        self._forwarded.add(key)
        others = {place: seat for place, seat in enumerate(sight.round.seats) if place not in sight.places}
        lacking = [seat for place, seat in others.items() if place not in sight.round.committed and seat != VACANT]
        self._parts.forward(self._parts.letters.of(sight.job), lacking)

    # ------------------------------------------------------------------------------------------ for people

    def _entries(self, sight: Sight, mine: Mine) -> list[Entry]:
        return [Entry(duty, self._vote_of(sight, duty.place, duty.seat)) for duty in calendar(sight, mine)]

    def _vote_of(self, sight: Sight, place: int, seat: int) -> tuple[int, ...] | None:
        """None until everybody may see it."""
        if place not in sight.round.revealed:
            return None
        ballot = self._parts.ballots.get(self._domain(sight), seat)
        return unpack_vote(ballot.vote, sight.view.lanes) if ballot else None

    def _warn(self, sight: Sight, mine: Mine, now: Timestamp) -> None:
        alarm, job = self._parts.alarm, sight.job
        text = risk(sight, mine, now)
        if text:
            alarm.ring("duty_at_risk", text, job=job, deadline=sight.view.deadline)
        else:
            alarm.clear("duty_at_risk", job=job)
        for seat in self._outvoted(sight):
            text = f"seat {seat} was outvoted: see `heldout validator replay`; an appeal is due before the deadline"
            alarm.ring("outvoted", text, job=job, deadline=sight.view.deadline)

    def _outvoted(self, sight: Sight) -> Iterable[int]:
        """Seats whose revealed vote is not what the round decided (P5.4)."""
        if sight.view.state is not State.SCORED or not any(sight.round.result):
            return
        result = unpack_vote(sight.round.result, sight.view.lanes)
        for place, seat in sight.places.items():
            if self._vote_of(sight, place, seat) not in (None, result):
                yield seat
