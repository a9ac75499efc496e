"""From events to artifacts: who asked, who trained, who measured, what it cost and what it was made of (P7.4).

    Posted ── Submitted ── Revealed ── Paid ── Artifact      the market's, of the job that made it
    Claimed ── Transferred ── RoyaltySuggested               the registry's, of the artifact once it is entered (P7.2)

Pure: both contracts' events are folded together, in the chain's order. Without the registry's, artifacts have no entry.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from heldout.market.lifecycle import ChainEvent, JobState, Outcome, Purpose, transition
from heldout.market.messages import hexed, unpack_vote
from heldout.market.money import BasisPoints, Wei, royalty_down
from heldout.market.terms import Address, JobId
from heldout.market.valuechain.graph import Artifact, Entry, Measurement, Parent, ValueChain

REGISTRY_EVENTS = frozenset(("Claimed", "Transferred", "RoyaltySuggested"))
"""Those that say something of an artifact; an offer changes nothing until it is taken."""


def fold(events: Iterable[ChainEvent]) -> ValueChain:
    """Every artifact that a run of events speaks of, of one market and its registry."""
    told = _Told()
    for event in events:
        told.add(event)
    return ValueChain({made.id: made for made in told.artifacts()})


@dataclass
class _Trail:
    """Which transactions a job's story is in."""

    submitted: dict[int, str] = field(default_factory=dict)
    """By lane."""
    revealed: dict[tuple[int, int], str] = field(default_factory=dict)
    """By round and place."""
    owners: dict[tuple[int, int], Address | None] = field(default_factory=dict)
    """Of the drawn seats, by round and place: an index may have another owner later."""
    made: dict[int, ChainEvent] = field(default_factory=dict)
    """By lane: `Artifact`."""


@dataclass
class _Told:
    """What was heard so far."""

    jobs: dict[JobId, JobState] = field(default_factory=dict)
    trails: dict[JobId, _Trail] = field(default_factory=dict)
    owners: dict[int, Address] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, event: ChainEvent) -> None:
        args = event.args
        if event.name == "Staked":
            self.owners[args["seat"]] = args["cold"]
        elif event.name in REGISTRY_EVENTS:
            self._register(event)
        elif event.job is not None:
            after = transition(self.jobs.get(event.job), event)
            if after is not None:
                self.jobs[event.job] = after
                self._follow(self.trails.setdefault(event.job, _Trail()), event)

    def _follow(self, trail: _Trail, event: ChainEvent) -> None:
        args = event.args
        match event.name:
            case "Submitted":
                trail.submitted[args["lane"]] = event.tx
            case "Drawn":
                for place, seat in enumerate(args["seats"]):
                    trail.owners[args["round"], place] = self.owners.get(seat)
            case "Revealed":
                trail.revealed[args["round"], args["place"]] = event.tx
            case "Artifact":
                trail.made[args["lane"]] = event

    def _register(self, event: ChainEvent) -> None:
        args, id_ = event.args, hexed(event.args["artifact"])
        match event.name:
            case "Claimed":
                self.entries[id_] = Entry(args["owner"], bytes(args["weightsHash"]), event.tx, BasisPoints(0))
            case "Transferred":
                self._amend(id_, owner=args["to"])
            case "RoyaltySuggested":
                self._amend(id_, suggested=BasisPoints(args["bps"]))

    def _amend(self, id_: str, **changes: Any) -> None:
        """Events may begin after the claim, at a reader who starts late."""
        if id_ in self.entries:
            self.entries[id_] = replace(self.entries[id_], **changes)

    def artifacts(self) -> Iterator[Artifact]:
        for job, trail in self.trails.items():
            for lane, event in trail.made.items():
                yield _artifact(self.jobs[job], trail, lane, event, self.entries.get(hexed(event.args["artifact"])))


def _artifact(job: JobState, trail: _Trail, lane: int, event: ChainEvent, entry: Entry | None) -> Artifact:
    terms, payout = job.terms, job.lanes[lane].payout
    decided = [number for number, round_ in enumerate(job.rounds, 1) if round_.result is not None]
    deciding = max(decided, default=0) if job.outcome is Outcome.MEASURED else 0
    return Artifact(
        id=hexed(event.args["artifact"]),
        job=job.id,
        lane=lane,
        requester=terms.requester,
        maker=event.args["maker"],
        metric=terms.metric_name,
        score=event.args["score"],
        outcome=job.outcome,
        price=job.lanes[lane].price,
        payout=payout,
        fees=Wei(sum(row.amount for row in job.money if row.purpose is Purpose.FEE)),
        lanes=len(job.lanes),
        task=terms.taskHash,
        data=terms.dataRoot,
        word=event.args["word"],
        parents=tuple(Parent(hexed(p.artifact), p.payee, p.bps, royalty_down(payout, p.bps)) for p in terms.parents),
        round=deciding,
        measurements=tuple(_measurements(job, trail, lane, deciding)),
        posted=job.posted.tx,
        submitted=trail.submitted.get(lane, ""),
        settled=event.tx,
        entry=entry,
    )


def _measurements(job: JobState, trail: _Trail, lane: int, deciding: int) -> Iterator[Measurement]:
    if not deciding:
        return
    round_ = job.rounds[deciding - 1]
    for place, vote in sorted(round_.votes.items()):
        at = (deciding, place)
        value = unpack_vote(vote, len(job.lanes))[lane]
        yield Measurement(round_.seats[place], trail.owners.get(at), value, trail.revealed[at])
