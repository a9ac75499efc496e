"""The market as a whole: what is asked for and by whom it can be met, what was paid, and how well committees agree."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, Generic, TypeVar

from sqlalchemy import Engine, Executable, and_, func, select

from heldout.market.narration import BURNED
from heldout.market.service import database as db
from heldout.market.terms import METRICS

NEWEST = 2_000
"""Lanes and rounds that figures are made from: the newest ones."""
OPEN_DATA = 10_000
FIELDS = ("job", "lane", "metric", "provider", "price", "score", "payout", "outcome", "block", "tx")
_NAMES = {number: name for name, number in METRICS.items()}

T = TypeVar("T")


class Remembered(Generic[T]):
    """A figure that costs more than a page should, worked out again at most every so many seconds."""

    def __init__(self, work_out: Callable[[], T], ticks: Callable[[], float], seconds: float) -> None:
        self._work_out, self._ticks, self._seconds = work_out, ticks, seconds
        self._known: tuple[float, T] | None = None
        self._lock = Lock()

    def __call__(self) -> T:
        with self._lock:
            if self._known is None or self._ticks() - self._known[0] > self._seconds:
                self._known = (self._ticks(), self._work_out())
            return self._known[1]


class Statistics:
    """Figures over one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> dict[str, Any]:
        """Everything the network page shows."""
        jobs = self._rows(select(db.jobs.c.state, func.count().label("jobs")).group_by(db.jobs.c.state))
        return {
            "jobs": {row.state: row.jobs for row in jobs},
            "hardware": self._hardware(),
            "metrics": self._metrics(),
            "agreement": self._agreement(),
            "money": self._money(),
            "seats": self._seats(),
            "providers": int(self._rows(select(func.count(db.lanes.c.provider.distinct())))[0][0]),
        }

    def settled_lanes(self) -> Iterator[tuple[Any, ...]]:
        """Open data: a row for each lane of a settled job, the newest first."""
        lanes, jobs = db.lanes.c, db.jobs.c
        query = (
            select(
                lanes.job, lanes.lane, jobs.metric, lanes.provider, lanes.price, lanes.score, lanes.payout, jobs.outcome
            )
            .add_columns(lanes.block, lanes.tx)
            .join(db.jobs, jobs.id == lanes.job)
            .where(jobs.state == "settled")
            .order_by(lanes.block.desc(), lanes.job, lanes.lane)
            .limit(OPEN_DATA)
        )
        for row in self._rows(query):
            yield (row[0], row[1], _NAMES.get(row[2], row[2]), *row[3:])

    def _hardware(self) -> list[dict[str, Any]]:
        """For each kind: lanes asked for now, and providers who were paid for a task that has an image for it."""
        manifests = self._rows(select(db.manifests.c.task, db.manifests.c.platforms, db.manifests.c.gpus))
        kinds_of = {row.task: [*row.platforms.split(), *(["gpu"] if row.gpus else [])] for row in manifests}
        jobs, lanes = db.jobs.c, db.lanes.c
        unknown = ["not known yet"]
        asked: Counter[str] = Counter()
        for row in self._rows(
            select(jobs.task, func.count().label("jobs")).where(jobs.state == "open").group_by(jobs.task)
        ):
            asked.update(dict.fromkeys(kinds_of.get(row.task, unknown), row.jobs))
        able: defaultdict[str, set[str]] = defaultdict(set)
        paid = (
            select(jobs.task, lanes.provider).join(db.lanes, lanes.job == jobs.id).where(lanes.payout != "0").distinct()
        )
        for row in self._rows(paid):
            for kind in kinds_of.get(row.task, unknown):
                able[kind].add(row.provider)
        kinds = sorted({*asked, *able})
        return [{"hardware": kind, "open_jobs": asked[kind], "proven_providers": len(able[kind])} for kind in kinds]

    def _metrics(self) -> list[dict[str, Any]]:
        """For each metric: what paid lanes cost, in wei, from the newest of them."""
        lanes, jobs = db.lanes.c, db.jobs.c
        query = (
            select(jobs.metric, lanes.payout)
            .join(db.jobs, jobs.id == lanes.job)
            .where(lanes.payout != "0")
            .order_by(lanes.block.desc())
            .limit(NEWEST)
        )
        payouts: defaultdict[int, list[int]] = defaultdict(list)
        for row in self._rows(query):
            payouts[row.metric].append(int(row.payout))
        return [
            {"metric": _NAMES.get(metric, str(metric)), "lanes": len(paid), "volume": str(sum(paid)), **_spread(paid)}
            for metric, paid in sorted(payouts.items())
        ]

    def _agreement(self) -> dict[str, int]:
        """Of the newest revealed votes in decided rounds: how many are as their round was decided."""
        votes, rounds = db.votes.c, db.rounds.c
        query = (
            select(votes.vote, rounds.result)
            .join(db.rounds, and_(rounds.job == votes.job, rounds.round == votes.round))
            .where(votes.vote.is_not(None), rounds.result.is_not(None))
            .order_by(votes.block.desc())
            .limit(NEWEST)
        )
        rows = self._rows(query)
        return {"votes": len(rows), "agreed": sum(row.vote == row.result for row in rows)}

    def _money(self) -> dict[str, str]:
        """By purpose, in wei: what jobs paid out. Burned money has no account."""
        sums: Counter[str] = Counter()
        query = select(db.money.c.purpose, db.money.c.account, db.money.c.amount).where(db.money.c.incoming.is_(False))
        for row in self._rows(query):
            sums["burned" if row.account == BURNED else row.purpose] += int(row.amount)
        return {name: str(amount) for name, amount in sorted(sums.items())}

    def _seats(self) -> dict[str, int]:
        seats = db.seats.c
        live = and_(seats.unstaked.is_(False), seats.withdrawable_at.is_(None))
        counts = select(func.count(), func.count(seats.cold.distinct())).where(live)
        row = self._rows(counts)[0]
        return {"live": row[0], "owners": row[1]}

    def _rows(self, query: Executable) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))


def _spread(amounts: list[int]) -> dict[str, str]:
    """Quartiles by nearest rank, so that each is an amount that was paid, to the last unit."""
    ranked = sorted(amounts)
    low, middle, high = (ranked[(len(ranked) - 1) * quarter // 4] for quarter in (1, 2, 3))
    return {"p25": str(low), "median": str(middle), "p75": str(high)}
