"""The market's jobs as the chain tells them now, kept by following its events and taken back when it turns back.

A job that is only called for (P2.5) stands here as if it were open, until the chain has it or the call is over. A job
that is over is forgotten, except that whoever asks in the same cycle still finds it. After a restart the book begins at
a block before which nothing of interest was posted.
"""

from dataclasses import replace

from heldout.market.chain import Block, Chain, Cursor
from heldout.market.lifecycle import ChainEvent, JobState, Outcome, State, transition
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
        self._called: dict[JobId, tuple[JobState, BlockNumber]] = {}
        """With the block in which the call was first seen, or seen to be over."""

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

    def called(self) -> list[JobState]:
        """Jobs that are called for now, posted meanwhile or not."""
        return [job for job, _ in self._called.values() if job.state is State.OPEN]

    def is_news(self, job: JobState) -> bool:
        """Whether a job that is called for is not on chain, as far as this book goes, nor called for that long."""
        known = self._called.get(job.id)
        return job.id not in self._events and (known is None or known[0].deadline < job.deadline)

    def call(self, job: JobState) -> bool:
        """Take a job that is called for; False if that is no news."""
        if not self.is_news(job):
            return False
        self._put_called(job, job.posted.block)
        return True

    def end_calls(self, head: Block) -> list[JobId]:
        """End calls that are over as jobs in which nobody was accepted: bids for them are good for no later block."""
        standing = [job for job, _ in self._called.values() if job.state is State.OPEN]
        over = [job for job in standing if job.deadline < head.timestamp]
        for job in over:
            self._put_called(replace(job, state=State.SETTLED, outcome=Outcome.EXPIRED), head.number)
        return [job.id for job in over]

    def _put_called(self, job: JobState, changed: BlockNumber) -> None:
        self._called[job.id] = (job, changed)
        if job.id not in self._events:
            self.jobs[job.id] = job

    def changed(self, job: JobId) -> BlockNumber:
        """Block of the job's latest event."""
        return self._events[job][-1].block if self._events.get(job) else self._called[job][1]

    def events(self, job: JobId) -> tuple[ChainEvent, ...]:
        """What the job was folded from; empty for one that is only called for."""
        return tuple(self._events.get(job, ()))

    def forget(self, job: JobId) -> None:
        """A job that is over and deep: its events are not needed again."""
        self.jobs.pop(job, None)
        self._events.pop(job, None)
        self._called.pop(job, None)

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
        self.jobs, self._events = {id_: job for id_, (job, _) in self._called.items()}, {}
        for events in kept.values():
            for event in events:
                self._apply(event)
