"""What this node remembers of requesters whose programs failed here (P10): so that a mistake costs once."""

from heldout.market.journal import Journal
from heldout.market.terms import Address, JobId

PREFIX = "failing/"
MOST_JOBS = 100
"""Remembered of one requester: more than anybody would forgive."""


class Requesters:
    """Jobs whose program failed, by requester, in the node's journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def failures(self, requester: Address) -> int:
        """Jobs of this requester whose program failed since one of its jobs was trained."""
        return len(self._jobs(requester))

    def failed(self, requester: Address, job: JobId) -> None:
        """Its program failed by its own fault. Safe to tell twice."""
        jobs = self._jobs(requester)
        if job not in jobs:
            self._journal.put(_key(requester), {"jobs": [*jobs, job][-MOST_JOBS:]})

    def trained(self, requester: Address) -> None:
        """Its program left weights: what went before is forgiven."""
        if self._jobs(requester):
            self._journal.delete(_key(requester))

    def _jobs(self, requester: Address) -> list[JobId]:
        return list((self._journal.get(_key(requester)) or {}).get("jobs", ()))


def _key(requester: Address) -> str:
    return PREFIX + requester.lower()
