"""What a provider must not forget about a job: one journal entry per job, written before the step it describes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from heldout.market.journal import Journal
from heldout.market.made import ENTRIES, Sealed
from heldout.market.money import Wei
from heldout.market.runrecord import RunRecord
from heldout.market.terms import BlockNumber, JobId
from heldout.provider.bidding import Refusal, Rule

PREFIX = ENTRIES
MOST_REMEMBERED = 1_000
"""Jobs that are over and kept for `why`."""


@dataclass(frozen=True)
class Record:
    """One job, as this node has lived it so far."""

    job: JobId
    posted: BlockNumber
    """Of a job that was called for: a block before it was."""
    call: str = ""
    """The call for bids that it follows (P2.5), as the letter's bytes in hex; empty for a job that came posted."""
    refusal: tuple[Rule, str] | None = None
    """The rule that spoke against bidding when it was last asked."""
    price: Wei | None = None
    """What was bid; set before the bid leaves."""
    valid_until: int = 0
    bid_sent: bool = False
    keys: str = ""
    """The training shards' keys, hex, in the split's order, as an envelope held them."""
    keys_from: str = ""
    """Which letter they came in."""
    refused: tuple[str, ...] = ()
    """Letters whose envelope or keys do not open what they should."""
    keys_bad: bool = False
    """The requester answered on chain with keys that do not open (P4.5)."""
    demanded: bool = False
    data_ready: bool = False
    attempts: int = 0
    """Number of the last attempt at training that was begun."""
    failed: int = 0
    """Number of the last attempt that is known to have failed."""
    failures: int = 0
    faults: int = 0
    """Of the failures: those by the program's own fault, which it can bring about on any machine."""
    failure: str = ""
    """How the last failed attempt ended."""
    untrained: str = ""
    """Why weights that nobody trained are submitted: the program's last fault."""
    weights_hash: str = ""
    run: RunRecord | None = None
    """How the attempt ran that left the weights."""
    sealed: Sealed | None = None
    uploaded: bool = False
    requester_told: bool = False
    delivered: tuple[int, ...] = ()
    """Rounds whose seats have their letters."""
    half_given: bool = False
    done: bool = False
    ending: str = ""
    """One sentence, once the job is over for this node."""

    @property
    def key(self) -> str:
        return PREFIX + self.job

    def but(self, **changes: Any) -> "Record":
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(raw: dict[str, Any]) -> "Record":
        """The inverse of `as_dict`, after a trip through JSON. Entries of other versions lose what is not known."""
        known = {field.name: raw[field.name] for field in fields(Record) if field.name in raw}
        if known.get("refusal"):
            rule, text = known["refusal"]
            known["refusal"] = (Rule(rule), text)
        if known.get("sealed"):
            known["sealed"] = Sealed(**known["sealed"])
        if known.get("run"):
            known["run"] = RunRecord(**known["run"])
        for name in ("delivered", "refused"):
            known[name] = tuple(known.get(name, ()))
        return Record(**known)

    def now_refusing(self, refusal: Refusal) -> "Record":
        return replace(self, refusal=(refusal.rule, refusal.text))


class Records:
    """All records of a node, in memory and in its journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        found = (Record.from_dict(raw) for _, raw in journal.items(PREFIX))
        self._records = {record.job: record for record in found}

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def knows(self, job: JobId) -> bool:
        """Whether anything was ever kept about this job."""
        return job in self._records

    def of(self, job: JobId, posted: BlockNumber) -> Record:
        """This job's record; a new one if the job is new."""
        return self._records.get(job) or Record(job, posted)

    def keep(self, record: Record) -> Record:
        """On disk when this returns, unless nothing changed."""
        if self._records.get(record.job) != record:
            self._journal.put(record.key, record.as_dict())
            self._records[record.job] = record
        return record

    def prune(self) -> None:
        """Forget the oldest of the jobs that are over."""
        over = sorted((record for record in self if record.done), key=lambda record: record.posted)
        for record in over[: max(0, len(over) - MOST_REMEMBERED)]:
            self._journal.delete(record.key)
            del self._records[record.job]
