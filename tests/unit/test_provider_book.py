"""The book of jobs follows the chain, and takes back what the chain took back (threats 26, 27)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from builders import JOB, REQUESTER, TERMS, EventLog, terms_values

from heldout.market.calling import CallForBids, is_called
from heldout.market.chain import Block, Cursor
from heldout.market.chain.logs import Followed
from heldout.market.lifecycle import ChainEvent, JobState, Outcome, State
from heldout.market.money import Wei
from heldout.market.terms import BlockNumber, Timestamp
from heldout.provider.book import PAGE, Book


@dataclass
class Branch:
    """A chain whose events and head a test moves; `follow` is Chain's, `ancestor` where the next call finds a fork."""

    events: list[ChainEvent] = field(default_factory=list)
    head: int = 100
    ancestor: int | None = None
    asked: int = 0

    def start(self) -> Cursor:
        return Cursor(((BlockNumber(0), "0x00"),))

    def block(self, number: int) -> Any:
        return type("Block", (), {"number": number, "hash": hex(number)})()

    def follow(self, cursor: Cursor, *, most: int) -> Followed:
        self.asked += 1
        back, self.ancestor = self.ancestor, None
        first = cursor.block if back is None else back
        last = min(self.head, first + most)
        found = [event for event in self.events if first < event.block <= last]
        rolled_back = None if back is None else BlockNumber(back)
        return Followed(found, Cursor(((BlockNumber(last), hex(last)),)), rolled_back)


def events(*names: str) -> list[ChainEvent]:
    """`Posted`, then a move to Open, then to Running, one block each from 100 on."""
    log = EventLog()
    log("Posted", requester=REQUESTER, terms=terms_values())
    for state in names:
        log("Moved", state=State[state], round=0, deadline=9)
    return log.events


def book(branch: Branch) -> Book:
    return Book(branch, branch.start())  # type: ignore[arg-type]  # all that a book asks of a chain


def states(found: Book) -> Sequence[State]:
    return [job.state for job in found.jobs.values()]


def test_jobs_are_folded_from_the_events_up_to_the_head() -> None:
    branch = Branch(events("OPEN", "RUNNING"), head=101)
    found = book(branch)
    found.advance()
    assert states(found) == [State.OPEN]
    assert found.changed(JOB) == 101
    branch.head = 102
    found.advance()
    assert states(found) == [State.RUNNING]


def test_what_the_chain_took_back_is_taken_back_and_the_new_branch_is_read() -> None:
    branch = Branch(events("OPEN", "RUNNING"), head=102)
    found = book(branch)
    found.advance()
    branch.events, branch.ancestor, branch.head = events("OPEN"), 101, 110
    found.advance()
    assert states(found) == [State.OPEN]
    assert found.changed(JOB) == 101


def test_a_job_whose_post_was_taken_back_is_gone() -> None:
    branch = Branch(events("OPEN"), head=102)
    found = book(branch)
    found.advance()
    branch.events, branch.ancestor = [], 99
    found.advance()
    assert found.jobs == {}


def test_a_long_chain_is_read_page_by_page_in_one_cycle() -> None:
    branch = Branch(events("OPEN"), head=3 * PAGE + 5)
    found = book(branch)
    found.advance()
    assert found.cursor.block == 3 * PAGE + 5
    assert branch.asked == 4
    found.advance()
    assert branch.asked == 5


def test_a_restart_begins_at_the_block_it_is_given_or_with_the_market() -> None:
    branch = Branch(events("OPEN"))
    assert Book.from_block(branch, BlockNumber(50)).cursor.block == 49  # type: ignore[arg-type]
    assert Book.from_block(branch, BlockNumber(0)).cursor == branch.start()  # type: ignore[arg-type]


def test_a_forgotten_job_is_not_brought_back_by_a_reorg() -> None:
    branch = Branch(events("OPEN", "SETTLED"), head=102)
    found = book(branch)
    found.advance()
    found.forget(JOB)
    branch.ancestor = 101
    found.advance()
    assert found.jobs == {}


# --------------------------------------------------------------------------------------------------------- calls


def called(until: int, since: int = 90) -> JobState:
    return CallForBids(JOB, TERMS, Timestamp(until)).as_job(BlockNumber(since))


def at(number: int, timestamp: int) -> Block:
    return Block(BlockNumber(number), "0x", "0x", Timestamp(timestamp), Wei(0))


def test_a_job_that_is_called_for_stands_open_until_the_chain_has_it() -> None:
    """P2.5."""
    branch = Branch(events("OPEN", "RUNNING"), head=99)
    found = book(branch)
    found.advance()
    assert found.call(called(1_000))
    assert (states(found), found.changed(JOB), is_called(found.jobs[JOB])) == ([State.OPEN], 90, True)
    branch.head = 102
    found.advance()
    assert (states(found), found.changed(JOB), is_called(found.jobs[JOB])) == ([State.RUNNING], 102, False)


def test_a_call_that_is_over_ends_as_a_job_in_which_nobody_was_accepted() -> None:
    found = book(Branch())
    found.call(called(1_000))
    assert found.end_calls(at(95, 1_000)) == []
    assert found.end_calls(at(96, 1_001)) == [JOB]
    assert (states(found), found.jobs[JOB].outcome, found.changed(JOB)) == ([State.SETTLED], Outcome.EXPIRED, 96)
    assert found.end_calls(at(97, 1_002)) == []
    found.forget(JOB)
    assert found.jobs == {}


def test_a_shorter_call_changes_nothing_and_a_longer_one_opens_the_job_again() -> None:
    found = book(Branch())
    assert found.call(called(1_000))
    assert not found.call(called(999, since=91))
    assert not found.call(called(1_000, since=91))
    found.end_calls(at(96, 1_001))
    assert found.call(called(1_100, since=97))
    assert (states(found), found.jobs[JOB].deadline, found.changed(JOB)) == ([State.OPEN], 1_100, 97)


def test_a_job_whose_post_was_taken_back_is_again_no_more_than_called_for() -> None:
    """Threat 26: the requester's `open` is sent again, and the bids must still be good."""
    branch = Branch(events("OPEN"), head=102)
    found = book(branch)
    found.call(called(1_000))
    found.advance()
    assert not is_called(found.jobs[JOB])
    branch.events, branch.ancestor = [], 99
    found.advance()
    assert (is_called(found.jobs[JOB]), found.changed(JOB)) == (True, 90)


def test_the_end_of_a_call_does_not_touch_a_job_that_is_on_chain() -> None:
    branch = Branch(events("OPEN", "RUNNING"), head=102)
    found = book(branch)
    found.call(called(1_000))
    found.advance()
    found.end_calls(at(103, 1_001))
    assert (states(found), found.changed(JOB)) == ([State.RUNNING], 102)
