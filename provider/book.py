"""The market's jobs as the chain tells them now, kept by following its events and taken back when it turns back.

A job that is over is forgotten, except that whoever asks in the same cycle still finds it. After a restart the book
begins at a block before which nothing of interest was posted.
"""

from heldout.market.chain import Chain, Cursor
from heldout.market.lifecycle import ChainEvent, JobState, transition
from heldout.market.terms import BlockNumber, JobId

PAGE = 2_000
"""Blocks read in one go."""


class Book:
    """Every job posted at or after the cursor. Not for two threads."""

    def __init__(self, chain: Chain, cursor: Cursor) -> None:
        self.cursor = cursor
        self.jobs: dict[JobId, JobState] = {}
        self._chain = chain
        self._events: dict[JobId, list[ChainEvent]] = {}

    @staticmethod
    def from_block(chain: Chain, block: BlockNumber) -> "Book":
        """A book that begins with `block`, or with the market itself if that is later."""
        start = chain.start()
        if block <= start.block + 1:
            return Book(chain, start)
        before = chain.block(block - 1)
        return Book(chain, Cursor(((before.number, before.hash),)))

    def advance(self) -> None:
        """Read everything up to the head. Raises ChainProblem; what was read before it stays read."""
        while True:
            followed = self._chain.follow(self.cursor, most=PAGE)
            if followed.rolled_back is not None:
                self._take_back(followed.rolled_back)
            for event in followed.events:
                self._apply(event)
            before, self.cursor = self.cursor, followed.cursor
            if followed.rolled_back is None and self.cursor.block < before.block + PAGE:
                return

    def changed(self, job: JobId) -> BlockNumber:
        """Block of the job's latest event."""
        return self._events[job][-1].block

    def forget(self, job: JobId) -> None:
        """A job that is over and deep: its events are not needed again."""
        self.jobs.pop(job, None)
        self._events.pop(job, None)

    def _apply(self, event: ChainEvent) -> None:
        if event.job is None:
            return
        after = transition(self.jobs.get(event.job), event)
        if after is not None:
            self.jobs[event.job] = after
            self._events.setdefault(event.job, []).append(event)

    def _take_back(self, last: BlockNumber) -> None:
        """Fold every job again from its events up to block `last`, which are all that remain true."""
        kept = {job: [event for event in events if event.block <= last] for job, events in self._events.items()}
        self.jobs, self._events = {}, {}
        for events in kept.values():
            for event in events:
                self._apply(event)
