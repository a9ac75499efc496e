"""What opens a provider's own weights: as its node journals it, and as `heldout verify` reads it (P4.4)."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from heldout.market.journal import glance
from heldout.market.messages import Submission
from heldout.market.terms import JobId

JOURNAL: Final = "journal"
"""Folder of a node's home with its journal."""
ENTRIES: Final = "job/"
"""Of the journal's keys of jobs; in an entry, `sealed` has the fields of `Sealed`."""


@dataclass(frozen=True)
class Sealed:
    """A sealed weights file and the secrets that open it (P4.4), in hex: journalled before anything leaves the node."""

    weights_hash: str
    sealed_hash: str
    half_a: str
    half_b: str
    envelope_a: str
    """Half a to the requester's wrapping key."""
    seed_a: str
    """The seed of `envelope_a`: shown to the drawn seats, who recompute the envelope."""

    @property
    def submission(self) -> Submission:
        return Submission(
            bytes.fromhex(self.weights_hash),
            bytes.fromhex(self.sealed_hash),
            sha256(bytes.fromhex(self.half_b)).digest(),
            sha256(bytes.fromhex(self.envelope_a)).digest(),
        )


def sealed_in(home: Path, job: JobId) -> Sealed | None:
    """What the node of this home keeps of its lane, running or not. Raises JournalProblem."""
    found = dict(glance(home / JOURNAL, ENTRIES + job)).get(ENTRIES + job, {}).get("sealed")
    return Sealed(**found) if found else None
