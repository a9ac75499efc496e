"""Artifacts and what they were made of. A job's id is a hash over its parents, so the graph has no cycles (P7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from heldout.market.errors import BadInput
from heldout.market.lifecycle import Outcome
from heldout.market.messages import HIGHEST_SCORE, hexed
from heldout.market.money import BasisPoints, Wei
from heldout.market.terms import Address, JobId, keccak256, words


def artifact_id(job: JobId, lane: int) -> str:
    """keccak256(abi.encode(job, lane)), as Market and ValueChain name it (P7.1)."""
    return hexed(keccak256(words((bytes.fromhex(job[2:]), lane))))


@dataclass(frozen=True)
class Parent:
    """What an artifact was made of, as its job's terms say (P7.3)."""

    artifact: str
    payee: Address
    bps: BasisPoints
    royalty: Wei
    """What the payee got of this artifact's payout."""


@dataclass(frozen=True)
class Measurement:
    """One seat that opened a vote in the round that decided."""

    seat: int
    owner: Address | None
    """Its cold address; None if the events folded do not reach back to its stake."""
    value: int
    """Its word for this lane: ppm, or a code."""
    tx: str


@dataclass(frozen=True)
class Entry:
    """What the registry says of an artifact."""

    owner: Address
    weights_hash: bytes
    tx: str
    """Of the claim."""
    suggested: BasisPoints
    """A royalty its owner suggests to those who build on it. No market reads it."""


@dataclass(frozen=True)
class Artifact:
    """What one paid lane made."""

    id: str
    job: JobId
    lane: int
    requester: Address
    maker: Address
    metric: str
    score: int
    """Ppm in the metric's own direction, or NO_DATA."""
    outcome: Outcome
    price: Wei
    """The accepted bid."""
    payout: Wei
    """What the score was worth, royalties included."""
    fees: Wei
    """Of all seats of the job."""
    lanes: int
    """How many lanes shared those seats."""
    task: bytes
    data: bytes
    word: bytes
    parents: tuple[Parent, ...]
    round: int
    """The one that decided; 0 if none did."""
    measurements: tuple[Measurement, ...]
    posted: str
    """This and the next two are transactions."""
    submitted: str
    settled: str
    entry: Entry | None = None
    """None until somebody claims it."""

    @property
    def measured(self) -> bool:
        """Whether a committee voted for this score. Else the parties agreed, or nobody ever measured (P7.1)."""
        return self.outcome is Outcome.MEASURED and self.score <= HIGHEST_SCORE

    @property
    def owner(self) -> Address:
        return self.entry.owner if self.entry else self.requester

    @property
    def royalties(self) -> Wei:
        return Wei(sum(parent.royalty for parent in self.parents))


@dataclass(frozen=True)
class ValueChain:
    """The artifacts of one market, by id."""

    artifacts: Mapping[str, Artifact]

    def find(self, beginning: str) -> Artifact:
        """By id, or the beginning of one. Raises BadInput if none or several fit."""
        wanted = beginning.lower()
        fitting = [each for id_, each in self.artifacts.items() if id_.startswith(wanted)] if wanted[:2] == "0x" else []
        if len(fitting) == 1:
            return fitting[0]
        what = "no artifact" if not fitting else f"{len(fitting)} artifacts"
        hint = "see `heldout chain list`; an artifact is what a settled job's paid lane made"
        raise BadInput(f"{what} of this market begin(s) with {beginning}", hint=hint, code="no_such_artifact")

    def children(self, artifact: str) -> tuple[Artifact, ...]:
        """Artifacts that were made of this one, as their own terms say."""
        return self._children.get(artifact, ())

    @cached_property
    def _children(self) -> dict[str, tuple[Artifact, ...]]:
        found: dict[str, tuple[Artifact, ...]] = {}
        for artifact in self.artifacts.values():
            for id_ in dict.fromkeys(parent.artifact for parent in artifact.parents):
                found[id_] = (*found.get(id_, ()), artifact)
        return found

    def generations(self, artifact: str) -> list[list[str]]:
        """Ids of an artifact and of all it was made of, known to this market or not: itself alone in the first
        generation, every other one in the one behind the last that names it."""
        depth = {artifact: 0}
        for id_ in self._descending(artifact):
            known = self.artifacts.get(id_)
            for parent in known.parents if known else ():
                depth[parent.artifact] = max(depth.get(parent.artifact, 0), depth[id_] + 1)
        found: list[list[str]] = [[] for _ in range(1 + max(depth.values()))]
        for id_, generation in depth.items():
            found[generation].append(id_)
        return found

    def _descending(self, artifact: str) -> list[str]:
        """Every artifact before its parents. Without recursion: a chain may be longer than Python's stack is deep."""
        done: list[str] = []
        seen, open_ = {artifact}, [artifact]
        while open_:
            known = self.artifacts.get(open_[-1])
            unseen = [parent.artifact for parent in known.parents if parent.artifact not in seen] if known else []
            if unseen:
                seen.add(unseen[0])
                open_.append(unseen[0])
            else:
                done.append(open_.pop())
        return done[::-1]
