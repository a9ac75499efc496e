"""Figures of the whole market: soon there for everybody, and exact (issue 6, "API p99")."""

import threading

import pytest
from sqlalchemy import Column, MetaData, String, Table, create_engine, insert, select

from heldout.market.service.remembered import Remembered
from heldout.market.service.sums import exact_sum, whole_sum


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Figure:
    """Counts how often it was worked out; `gate` holds it up."""

    def __init__(self) -> None:
        self.times, self.gate, self.done = 0, threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.fails = False

    def __call__(self) -> int:
        self.gate.wait(10)
        self.times += 1
        self.done.release()
        if self.fails:
            raise OSError("no database")
        return self.times


@pytest.fixture
def clock() -> Clock:
    return Clock()


def eventually(figure: Remembered[int], value: int) -> None:
    for _ in range(1000):
        if figure() == value:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{figure()} is not {value}")


def test_nobody_waits_for_a_figure_that_is_a_little_old(clock: Clock) -> None:
    work = Figure()
    figure = Remembered(work, clock, 10, most=120)
    assert figure() == 1
    clock.now = 10
    assert figure() == 1 and work.times == 1
    clock.now = 11
    work.gate.clear()
    assert [figure() for _ in range(5)] == [1] * 5  # answered, although the next one takes long
    work.gate.set()
    eventually(figure, 2)
    assert work.times == 2, "five asked, one thread worked"


def test_a_figure_that_is_too_old_is_waited_for(clock: Clock) -> None:
    figure = Remembered(Figure(), clock, 10, most=120)
    assert figure() == 1
    clock.now = 121
    assert figure() == 2


def test_a_figure_that_cannot_be_renewed_stays_until_it_is_too_old(clock: Clock) -> None:
    work = Figure()
    figure = Remembered(work, clock, 10, most=120)
    assert figure() == 1
    work.fails = True
    clock.now = 50
    assert figure() == 1
    assert work.done.acquire(timeout=10) and work.done.acquire(timeout=10)
    clock.now = 200
    with pytest.raises(OSError, match="no database"):
        figure()
    work.fails = False
    assert figure() == work.times


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0],
        [1, 9_999_999_999, 10**10, 10**20 - 1, 10**20],
        [2**96 - 1] * 1000,
    ],
    ids=lambda values: f"{len(values)} values",
)
def test_sums_are_exact_to_the_unit(values: list[int]) -> None:
    """A uint96 has 29 digits: as a float, which SQLite would add, it has 16."""
    engine, amounts = create_engine("sqlite://"), Table("amounts", MetaData(), Column("amount", String(80)))
    amounts.metadata.create_all(engine)
    with engine.begin() as connection:
        if values:
            connection.execute(insert(amounts), [{"amount": str(value)} for value in values])
        row = connection.execute(select(*exact_sum(amounts.c.amount))).one()
    assert whole_sum(row) == sum(values)
