"""The ballots, letters and measurements a node keeps (P11b, threats 28, 41, 43, 44, 45, 56)."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import CHAIN_ID, JOB, MARKET, PROVIDERS, TERMS, digest
from delivered import SEAT, deliver

from heldout.kernels.errors import ChildFailed
from heldout.market.alarm import Alarm
from heldout.market.errors import AlreadyRunning
from heldout.market.journal import Journal
from heldout.market.messages import BULLETIN, Kind, Letter
from heldout.market.terms import Address, JobId, Timestamp
from heldout.validator.ballots import Ballots, ConflictingBallot
from heldout.validator.bench import RETRY_S, Bench, Sample
from heldout.validator.letters import LONGEST, MOST_PER_SENDER, MOST_WAITING, Letters
from heldout.validator.measuring import Case
from heldout.validator.voting import Domain, Finding, Undelivered, Verdict, cast

DOMAIN = Domain(CHAIN_ID, MARKET, JOB, 1)
SECRET = digest("vote secret")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "node") as journal:
        yield journal


# -------------------------------------------------------------------------------------------------- ballots


def test_a_ballot_is_on_disk_when_it_is_cast(tmp_path: Path) -> None:
    """Threat 41: killed before the commit goes out, the node finds it again."""
    with Journal(tmp_path) as journal:
        ballot = Ballots(journal, SECRET).cast(DOMAIN, 5, [Verdict(7)])
    with Journal(tmp_path) as journal:
        assert Ballots(journal, SECRET).get(DOMAIN, 5) == ballot


def test_the_first_ballot_stands_whatever_is_found_later(journal: Journal) -> None:
    """P11b: no key ever makes two conflicting commits."""
    ballots = Ballots(journal, SECRET)
    first = ballots.cast(DOMAIN, 5, [Undelivered(0, "late")])
    assert ballots.cast(DOMAIN, 5, [Verdict(7)]) == first
    with pytest.raises(ConflictingBallot):
        ballots.keep(DOMAIN, cast(DOMAIN, SECRET, 5, [Verdict(7)]))


def test_rounds_and_seats_vote_apart(journal: Journal) -> None:
    """P3.2"""
    ballots = Ballots(journal, SECRET)
    ballots.cast(DOMAIN, 5, [Verdict(7)])
    ballots.cast(DOMAIN, 6, [Verdict(7)])
    assert ballots.seats(DOMAIN) == {5, 6}
    assert ballots.seats(replace(DOMAIN, round=2)) == frozenset()


def test_a_lost_ballot_is_recovered_from_its_commit_and_a_foreign_one_is_not(journal: Journal) -> None:
    """Threats 43, 45"""
    ballots = Ballots(journal, SECRET)
    committed = cast(DOMAIN, SECRET, 5, [Verdict(7)])
    assert ballots.recover(DOMAIN, 5, [Verdict(8)], committed.hash) is None
    assert ballots.recover(DOMAIN, 5, [Verdict(7)], committed.hash) == committed
    assert ballots.get(DOMAIN, 5) == committed


def test_two_nodes_cannot_share_a_home(tmp_path: Path) -> None:
    """Threat 44"""
    with Journal(tmp_path), pytest.raises(AlreadyRunning):
        Journal(tmp_path)


# -------------------------------------------------------------------------------------------------- letters


REQUESTER = TERMS.requester
PARTIES = frozenset(party.lower() for party in (REQUESTER, *PROVIDERS))
STRANGER = Address("0x" + "ee" * 20)
KEYS = Letter(JOB, Kind.HELD_OUT_KEYS, REQUESTER, SEAT, {"envelope": "0xaa"})


def junk(count: int, sender: Address = STRANGER) -> list[Letter]:
    return [Letter(JOB, Kind.HELD_OUT_KEYS, sender, SEAT, {"envelope": hex(n)}) for n in range(count)]


def test_a_letter_is_kept_for_later_and_once(journal: Journal) -> None:
    """Threat 56: a carrier may deliver it once, or twice."""
    letter = deliver().submission
    deliveries = iter([[letter, letter], [], [letter]])
    letters = Letters(journal, SEAT, lambda: next(deliveries))
    for _ in range(3):
        letters.collect(JOB, PARTIES)
    assert letters.of(JOB) == (letter,)
    letters.forget(JOB)
    assert letters.of(JOB) == ()


@pytest.mark.parametrize(
    "letter",
    [
        Letter(JOB, Kind.SUBMISSION, PROVIDERS[0], PROVIDERS[1], {}),
        Letter(JOB, Kind.BID, PROVIDERS[0], BULLETIN, {}),
        Letter(JOB, Kind.TRAINING_KEYS, PROVIDERS[0], SEAT, {}),
        Letter(JOB, Kind.SUBMISSION, PROVIDERS[0], SEAT, {"padding": "x" * LONGEST}),
        Letter(JOB, Kind.SUBMISSION, STRANGER, SEAT, {}),
    ],
    ids=["not for me", "a bid", "of no use to a seat", "too long", "a stranger's"],
)
def test_a_letter_no_seat_has_use_for_is_dropped(letter: Letter, journal: Journal) -> None:
    letters = Letters(journal, SEAT, lambda: [letter])
    letters.collect(JOB, PARTIES)
    assert letters.of(JOB) == ()


def test_no_flood_by_strangers_keeps_a_partys_letter_out(journal: Journal) -> None:
    """Threat 89: nor is any of it on this disk, for the next round or after a restart."""
    letters = Letters(journal, SEAT, lambda: [*junk(600), KEYS])
    letters.collect(JOB, PARTIES)
    assert letters.of(JOB) == (KEYS,)


def test_no_party_takes_the_room_of_another_or_fills_the_disk(journal: Journal) -> None:
    """Threat 89"""
    letters = Letters(journal, SEAT, lambda: [*junk(MOST_PER_SENDER + 3, PROVIDERS[0]), KEYS])
    letters.collect(JOB, PARTIES)
    assert KEYS in letters.of(JOB) and len(letters.of(JOB)) == MOST_PER_SENDER + 1


def test_a_letter_that_comes_before_its_job_is_known_waits_and_no_flood_fills_the_memory(journal: Journal) -> None:
    """Threats 31, 89: a carrier may be ahead of this node's own view of the chain."""
    other = JobId("0x" + "ab" * 32)
    deliveries = iter([[KEYS], [], junk(MOST_WAITING + 1)])
    letters = Letters(journal, SEAT, lambda: next(deliveries))
    letters.collect(other, frozenset())
    letters.collect(JOB, PARTIES)
    assert letters.of(JOB) == (KEYS,)
    letters.collect(other, frozenset())
    assert len(letters._waiting) == MOST_WAITING


# ---------------------------------------------------------------------------------------------------- bench


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Turns:
    """A measurement that answers in turn, and says when it has."""

    def __init__(self, *answers: tuple[Finding, ...] | Exception) -> None:
        self.answers = list(answers)
        self.known: list[Sequence[Finding]] = []

    def __call__(self, case: Case, letters: Sequence[Letter], known: Sequence[Finding]) -> tuple[Finding, ...]:
        self.known.append(known)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


LATE = (Undelivered(0, "late"),)
DONE = (Verdict(7),)


def finish() -> None:
    """Wait for the measuring threads."""
    for thread in threading.enumerate():
        if thread.name.startswith("measure"):
            thread.join()


def test_findings_are_there_once_the_thread_has_ended() -> None:
    bench = Bench(Turns(DONE), Alarm())
    assert bench.findings(JOB) is None
    assert bench.put(Sample(deliver().case, (), Timestamp(9)))
    finish()
    found = bench.findings(JOB)
    assert found is not None and (found.lanes, found.as_of) == (DONE, 9)


def test_the_same_letters_are_looked_at_again_only_after_a_while() -> None:
    """A store may have been down; a letter that is wrong stays wrong."""
    clock, turns = Clock(), Turns(LATE, LATE, DONE)
    bench, job = Bench(turns, Alarm(), clock), deliver()
    sample = Sample(job.case, (), Timestamp(1))
    assert bench.put(sample)
    finish()
    assert not bench.put(sample)
    clock.now += RETRY_S
    assert bench.put(sample)
    finish()
    assert bench.put(Sample(job.case, job.letters, Timestamp(2)))
    finish()
    assert turns.known == [(), LATE, LATE]


def test_trouble_of_this_machine_is_told_and_tried_again() -> None:
    """P9.1: it is nobody's verdict."""
    clock, alarm = Clock(), Alarm()
    bench, sample = Bench(Turns(ChildFailed("killed"), DONE), alarm, clock), Sample(deliver().case, (), Timestamp(1))
    bench.put(sample)
    finish()
    assert bench.findings(JOB) is None and ("measuring_failed", JOB) in alarm.active
    clock.now += RETRY_S
    bench.put(sample)
    finish()
    assert bench.findings(JOB) is not None and not alarm.active


def test_what_is_forgotten_in_the_middle_leaves_nothing() -> None:
    """P11d"""
    gate = threading.Event()

    def slow(case: Case, letters: Sequence[Letter], known: Sequence[Finding]) -> tuple[Finding, ...]:
        gate.wait(5)
        return DONE

    bench = Bench(slow, Alarm())
    bench.put(Sample(deliver().case, (), Timestamp(1)))
    bench.forget(JOB)
    gate.set()
    finish()
    assert bench.findings(JOB) is None
