"""One job as its page shows it: a pure function of its events, of what its providers say, and of block time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from heldout.market.lifecycle import (
    ChainEvent,
    JobState,
    Lane,
    Outcome,
    Round,
    State,
    deadline_move,
    fold,
    if_nobody_acts,
)
from heldout.market.manifest import Manifest
from heldout.market.messages import CODES, HIGHEST_SCORE, MISSING, hexed, unpack_vote
from heldout.market.money import MILLION
from heldout.market.narration import narrate
from heldout.market.service.pages.drawing import Curve, Strip, curve, strip
from heldout.market.service.sources import Sources
from heldout.market.terms import LOWER_IS_BETTER, METRICS, JobId, Timestamp
from heldout.market.texts import later, tr

Readings = Mapping[int, Sequence[Mapping[str, float]]]
"""By lane, what its provider's job printed: one mapping of names to numbers for each line."""

STAGES: Final = (State.OPEN, State.RUNNING, State.COMMITTING, State.REVEALING, State.SCORED, State.SETTLED)
_WAITS: Final = {
    State.OPEN: later("Providers bid; the requester accepts."),
    State.RUNNING: later("Providers train on the shards they got keys for, and submit sealed weights."),
    State.COMMITTING: later(
        "The drawn seats score the weights on rows nobody could train on, and commit to the result."
    ),
    State.REVEALING: later(
        "The seats open their commitments. All were sealed before the first opened: nobody could copy."
    ),
    State.SCORED: later("The result stands unless the requester, a provider or a seat of the round appeals."),
}
_STEP_NAMES: Final = (later("epoch"), later("step"), later("iteration"))


@dataclass(frozen=True)
class Stage:
    """One step of the life of a job. `status` is `done`, `now`, `ahead` or `skipped`."""

    name: str
    status: str
    entered: int | None


@dataclass(frozen=True)
class LaneView:
    """One lane with the three numbers that tell who was right: said, measured, and the gap between them."""

    number: int
    lane: Lane
    reported_name: str
    reported: float | None
    sealed: int | None
    final: bool
    artifact: str | None
    """What the lane made, once it was paid."""

    @property
    def unsubmitted(self) -> bool:
        """Whether MISSING means that no weights ever were: nothing was withheld, and no seat was to look at it."""
        return self.lane.word is None and self.sealed == MISSING

    @property
    def gap(self) -> float | None:
        """Sealed minus reported, in ppm; None unless both are numbers of the same metric."""
        if self.reported is None or self.sealed is None or self.sealed > HIGHEST_SCORE:
            return None
        return self.sealed - self.reported * MILLION


@dataclass(frozen=True)
class RoundView:
    """One committee's votes on one lane."""

    number: int
    lane: int
    drawing: Strip
    votes: tuple[tuple[str, int], ...]
    result: int | None
    agreeing_seats: tuple[int, ...]

    @property
    def agreeing(self) -> int:
        return len(self.agreeing_seats)


@dataclass(frozen=True)
class JobView:
    """`now` is block time; `manifest` None while no store has shown it."""

    job: JobState
    events: Sequence[ChainEvent]
    readings: Readings
    manifest: Manifest | None
    now: Timestamp

    @staticmethod
    def of(
        job: JobId, events: Sequence[ChainEvent], readings: Readings, manifest: Manifest | None, now: int
    ) -> "JobView":
        return JobView(fold(events)[job], events, readings, manifest, Timestamp(now))

    @property
    def metric(self) -> str:
        known = {number: name for name, number in METRICS.items()}
        return known.get(self.job.terms.metric, f"metric {self.job.terms.metric}")

    @property
    def lower_is_better(self) -> bool:
        return self.metric in LOWER_IS_BETTER

    @cached_property
    def stages(self) -> list[Stage]:
        """Where the job has been; a stage that an early end made needless is skipped."""
        entered: dict[State, int] = {State.OPEN: self.job.posted.timestamp}
        for event in self.events:
            if event.name == "Moved":
                entered[State(event.args["state"])] = event.timestamp
            elif event.name == "Settled":
                entered[State.SETTLED] = event.timestamp
        return [Stage(s.name.lower(), self._status(s, entered), entered.get(s)) for s in STAGES]

    def _status(self, stage: State, entered: Mapping[State, int]) -> str:
        if stage is self.job.state:
            return "done" if stage is State.SETTLED else "now"
        if stage < self.job.state:
            return "done" if stage in entered else "skipped"
        return "ahead"

    @property
    def waits_for(self) -> str:
        """Who acts next: a text."""
        if self.job.pending:
            return later("A delivery was demanded on chain and is awaited.")
        return _WAITS.get(self.job.state, "")

    @property
    def if_nobody_acts(self) -> str:
        return if_nobody_acts(self.job)

    @property
    def overdue(self) -> str | None:
        """The function anyone may call now, if the stage's deadline has passed."""
        return deadline_move(self.job, self.now)

    @property
    def outcome(self) -> str:
        return "" if self.job.outcome is Outcome.NONE else self.job.outcome.name.lower()

    # -------------------------------------------------------------------------------------------- scores

    @cached_property
    def lanes(self) -> list[LaneView]:
        standing = self.job.standing
        made = {e.args["lane"]: hexed(e.args["artifact"]) for e in self.events if e.name == "Artifact"}
        views = []
        for number, lane in enumerate(self.job.lanes):
            name = self._field_of(number)
            last = next((line[name] for line in reversed(self.readings.get(number, ())) if name in line), None)
            sealed = lane.score if lane.score is not None else (standing[number] if standing else None)
            same = name in (self.metric, f"val_{self.metric}")
            about = (last if same else None, sealed, lane.score is not None, made.get(number))
            views.append(LaneView(number, lane, name, *about))
        return views

    def _field_of(self, lane: int) -> str:
        """The number a lane's job prints for its metric, or else the first one that counts no steps."""
        names = [name for line in self.readings.get(lane, ()) for name in line]
        for wanted in (self.metric, f"val_{self.metric}"):
            if wanted in names:
                return wanted
        return next((name for name in names if name not in _STEP_NAMES), self.metric)

    @cached_property
    def curve(self) -> Curve | None:
        """The lanes' own readings; floor and target are drawn where the numbers are of the job's metric."""
        series: dict[int, list[tuple[float, float]]] = {}
        across = later("line")
        for lane, lines in self.readings.items():
            name = self._field_of(lane)
            step = next((s for s in _STEP_NAMES if any(s in line for line in lines)), "")
            across = step or across
            points = enumerate(lines)
            series[lane] = [(float(line.get(step, i)), float(line[name])) for i, line in points if name in line]
        terms = self.job.terms
        own = all(self._field_of(lane) in (self.metric, f"val_{self.metric}") for lane in series)
        marks = [("floor", terms.floor / MILLION), ("target", terms.target / MILLION)] if own else []
        return curve(series, across, marks)

    @cached_property
    def rounds(self) -> list[RoundView]:
        """Newest committee first."""
        numbered = list(enumerate(self.job.rounds, 1))
        return [
            self._round(number, round_, lane)
            for number, round_ in reversed(numbered)
            for lane in range(len(self.job.lanes))
            if round_.votes
        ]

    def _round(self, number: int, round_: Round, lane: int) -> RoundView:
        def value(word: bytes) -> int:
            return unpack_vote(word, lane + 1)[lane]

        seats = round_.seats
        votes = tuple(
            (tr("seat %(seat)s", seat=seats[place]), value(word)) for place, word in sorted(round_.votes.items())
        )
        result = None if round_.result is None else value(round_.result)
        drawing = strip(votes, result, self.job.terms.floor, self.job.terms.target)
        agreeing = tuple(seats[place] for place, word in sorted(round_.votes.items()) if value(word) == result)
        return RoundView(number, lane, drawing, votes, result, agreeing)

    @property
    def silent_seats(self) -> int:
        """Seats of the latest committee that have not revealed."""
        last = self.job.rounds[-1] if self.job.rounds else Round()
        return len(last.seats) - len(last.votes)

    # ---------------------------------------------------------------------------------------------- rest

    @property
    def history(self) -> list[tuple[ChainEvent, str]]:
        """Newest first, with a sentence each."""
        return [(event, narrate(event)) for event in reversed(self.events)]

    @property
    def codes(self) -> list[str]:
        """Codes that stand where scores would."""
        return sorted({CODES[lane.sealed] for lane in self.lanes if lane.sealed in CODES and not lane.unsubmitted})


def view_of(sources: Sources, job: JobId) -> JobView:
    """Raises NotYetKnown."""
    events = sources.reading.history(job)
    manifest = sources.manifests.of(events[0].args["terms"]["taskHash"])
    return JobView.of(job, events, sources.reported.of(job), manifest, sources.now())
