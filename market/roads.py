"""Which road a job took, told by the events alone (P6): everybody's own transactions, batches, waivers. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from heldout.market.lifecycle import ChainEvent, Outcome, State


class Road(StrEnum):
    NONE = "none"
    """Nothing of the kind has happened yet."""
    PLAIN = "plain"
    RELAYED = "relayed"
    """All in one transaction, and more than one."""


class End(StrEnum):
    NONE = "none"
    DEADLINE = "deadline"
    """The challenge ran its time, or there was none."""
    WAIVED = "waived"
    """Requester and providers signed that the result may stand."""
    AGREED = "agreed"
    """Requester and providers signed how it ends, and nobody measured."""


@dataclass(frozen=True)
class RoundRoads:
    commits: Road
    reveals: Road


@dataclass(frozen=True)
class Roads:
    rounds: tuple[RoundRoads, ...]
    end: End


def roads_of(events: Iterable[ChainEvent]) -> Roads:
    """Of one job, from all its events in the chain's order."""
    txs: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    challenge_ends, end, last_round = 0, End.NONE, 0
    for event in events:
        if event.name in ("Committed", "Revealed"):
            txs[event.name, event.args["round"]].append(event.tx)
            last_round = max(last_round, event.args["round"])
        elif event.name == "Moved":
            challenge_ends = event.args["deadline"] if event.args["state"] == State.SCORED else 0
        elif event.name == "Settled":
            end = _end(event, challenge_ends)
    numbers = range(1, last_round + 1)
    rounds = (RoundRoads(_road(txs["Committed", n]), _road(txs["Revealed", n])) for n in numbers)
    return Roads(tuple(rounds), end)


def _end(settled: ChainEvent, challenge_ends: int) -> End:
    """`settle` needs the deadline of the challenge to have passed: what comes before it was waived."""
    if settled.args["outcome"] == Outcome.AGREED:
        return End.AGREED
    return End.WAIVED if settled.timestamp < challenge_ends else End.DEADLINE


def _road(txs: list[str]) -> Road:
    if not txs:
        return Road.NONE
    return Road.RELAYED if len(set(txs)) == 1 < len(txs) else Road.PLAIN


def describe(roads: Roads) -> list[str]:
    """For people: a line for each round, and one for the end."""
    lines = [
        f"road      round {number}: commits {each.commits}, reveals {each.reveals}"
        for number, each in enumerate(roads.rounds, 1)
    ]
    ends = {
        End.WAIVED: "road      end: requester and providers waived the challenge",
        End.AGREED: "road      end: requester and providers agreed on it; nobody measured",
    }
    return [*lines, ends[roads.end]] if roads.end in ends else lines
