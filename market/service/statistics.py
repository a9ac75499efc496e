"""The market as a whole: what is asked for and by whom it can be met, what was paid, and how well committees agree."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, Executable, and_, case, func, select

from heldout.market.narration import BURNED
from heldout.market.service import database as db
from heldout.market.service.sums import exact_sum, whole_sum
from heldout.market.terms import METRICS
from heldout.market.texts import later

NEWEST = 2_000
"""Lanes and rounds that figures are made from: the newest ones."""
OPEN_DATA = 10_000
FIELDS = ("job", "lane", "metric", "provider", "price", "score", "payout", "outcome", "block", "tx")
_NAMES = {number: name for name, number in METRICS.items()}


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
        unknown = [later("not known yet")]
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
        newest = (
            select(votes.vote, rounds.result)
            .join(db.rounds, and_(rounds.job == votes.job, rounds.round == votes.round))
            .where(votes.vote.is_not(None), rounds.result.is_not(None))
            .order_by(votes.block.desc())
            .limit(NEWEST)
            .subquery()
        )
        agreed = func.count(case((newest.c.vote == newest.c.result, 1)))
        row = self._rows(select(func.count(), agreed).select_from(newest))[0]
        return {"votes": row[0], "agreed": row[1]}

    def _money(self) -> dict[str, str]:
        """By purpose, in wei: what jobs paid out. Burned money has no account."""
        purpose = case((db.money.c.account == BURNED, "burned"), else_=db.money.c.purpose).label("purpose")
        query = select(purpose, *exact_sum(db.money.c.amount)).where(db.money.c.incoming.is_(False)).group_by(purpose)
        return {row[0]: str(whole_sum(row[1:])) for row in sorted(self._rows(query))}

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
    low, middle, high = (ranked[-(-len(ranked) * quarter // 4) - 1] for quarter in (1, 2, 3))
    return {"p25": str(low), "median": str(middle), "p75": str(high)}
