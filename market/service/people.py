"""Who trains, who measures and what came of it: one address at a time, and all of them page by page.

Counts are made by the database; amounts, which no database adds exactly, are added here, for the rows of one page.
"""

import json
from collections import Counter
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Executable, Text, and_, case, cast, func, or_, select

from heldout.market.lifecycle import Outcome
from heldout.market.messages import BAD, CODES
from heldout.market.service import database as db
from heldout.market.service.cursors import MADE, RANKED, parts_of
from heldout.market.service.letters import NotYetKnown
from heldout.market.signatures import checksummed
from heldout.market.texts import later

_AGREED: Final = Outcome.AGREED.name.lower()
_NO_TRAINING_KEYS: Final = Outcome.TRAINING_KEYS_WITHHELD.name.lower()
LANES = 100
"""Lanes of one provider, or votes of one validator, that are shown: the newest."""


class People:
    """Queries over one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ------------------------------------------------------------------------------------------- providers

    def providers(self, *, before: str = "", limit: int = 20) -> dict[str, Any]:
        """Those with the most paid lanes first. `next` is the cursor of the following page.

        What parties agreed on counts as neither submitted nor paid: nobody measured it, and one wei would do.
        """
        lanes, judged = db.lanes.c, db.jobs.c.outcome != _AGREED
        paid, count = _sum_if(and_(lanes.payout != "0", judged)).label("paid"), func.count().label("lanes")
        submitted = _sum_if(and_(lanes.word.is_not(None), judged)).label("submitted")
        columns = (lanes.provider, count, submitted, paid, func.max(lanes.block).label("block"))
        query = select(*columns).join(db.jobs, db.jobs.c.id == lanes.job).group_by(lanes.provider)
        if before:
            least, after = _ranked(before)
            query = query.having(or_(paid < least, and_(paid == least, lanes.provider > after)))
        rows = self._rows(query.order_by(paid.desc(), lanes.provider).limit(limit + 1))
        following = f"{rows[limit - 1].paid}:{rows[limit - 1].provider}" if len(rows) > limit else None
        earned = self._earned([row.provider for row in rows[:limit]])
        shown = [{**_plain(row), "earned": str(earned[row.provider])} for row in rows[:limit]]
        return {"providers": shown, "next": following}

    def provider(self, address: str) -> dict[str, Any]:
        """One provider: totals over everything, and its newest lanes. Raises NotYetKnown if it never had one."""
        name, lanes, jobs = checksummed(address), db.lanes.c, db.jobs.c
        query = (
            select(db.lanes, jobs.state, jobs.outcome, jobs.metric, jobs.terms, jobs.posted_at)
            .join(db.jobs, jobs.id == lanes.job)
            .where(lanes.provider == name)
            .order_by(jobs.posted_block.desc(), jobs.posted_index.desc(), lanes.lane)
        )
        rows = self._rows(query)
        if not rows:
            raise NotYetKnown(f"{name} has no lane in any job", hint="a bid is no lane until it is accepted")
        ends = Counter(_end(row) for row in rows)
        totals = {"lanes": len(rows), "earned": str(sum(int(row.payout) for row in rows)), "ends": dict(ends)}
        return {"provider": name, **totals, "recent": [_lane(row) for row in rows[:LANES]]}

    def _earned(self, providers: list[str]) -> Counter[str]:
        query = select(db.lanes.c.provider, db.lanes.c.payout).where(
            db.lanes.c.provider.in_(providers), db.lanes.c.payout != "0"
        )
        earned: Counter[str] = Counter()
        for row in self._rows(query):
            earned[row.provider] += int(row.payout)
        return earned

    # ------------------------------------------------------------------------------------------ validators

    def validators(self, *, before: str = "", limit: int = 20) -> dict[str, Any]:
        """By cold key, those with the most seats first."""
        seats = db.seats.c
        count, live = func.count().label("seats"), _sum_if(_live()).label("live")
        query = select(seats.cold, count, live, func.max(seats.block).label("block")).group_by(seats.cold)
        if before:
            most, after = _ranked(before)
            query = query.having(or_(count < most, and_(count == most, seats.cold > after)))
        rows = self._rows(query.order_by(count.desc(), seats.cold).limit(limit + 1))
        following = f"{rows[limit - 1].seats}:{rows[limit - 1].cold}" if len(rows) > limit else None
        votes = self._votes_of([row.cold for row in rows[:limit]])
        slashed = self._slashed([row.cold for row in rows[:limit]])
        nothing = {"committed": 0, "revealed": 0, "agreed": 0, "judged": 0}
        shown = [
            {**_plain(row), "slashed": str(slashed[row.cold]), **votes.get(row.cold, nothing)} for row in rows[:limit]
        ]
        return {"validators": shown, "next": following}

    def validator(self, address: str) -> dict[str, Any]:
        """One validator by its cold or hot key: its seats and its newest votes. Raises NotYetKnown."""
        name, seats = checksummed(address), db.seats.c
        rows = self._rows(select(db.seats).where(or_(seats.cold == name, seats.hot == name)).order_by(seats.seat))
        if not rows:
            raise NotYetKnown(f"{name} holds no seat", hint="seats appear when they are staked")
        colds = sorted({row.cold for row in rows})
        votes, rounds = db.votes.c, db.rounds.c
        query = (
            select(db.votes, rounds.result, db.jobs.c.metric)
            .join(db.rounds, and_(rounds.job == votes.job, rounds.round == votes.round))
            .join(db.jobs, db.jobs.c.id == votes.job)
            .join(db.seats, and_(seats.seat == votes.seat, seats.since <= votes.block))
            .where(seats.seat.in_([row.seat for row in rows]))
            .order_by(votes.block.desc(), votes.job, votes.round, votes.place)
            .limit(LANES)
        )
        recent = [{**_plain(row), "agrees": _agrees(row)} for row in self._rows(query)]
        totals = self._votes_of(colds)
        summed = {
            key: sum(each[key] for each in totals.values()) for key in ("committed", "revealed", "agreed", "judged")
        }
        slashed = str(sum(int(row.slashed) for row in rows))
        return {
            "validator": name,
            "slashed": slashed,
            **summed,
            "seats": [_plain(row) for row in rows],
            "recent": recent,
        }

    def _votes_of(self, colds: list[str]) -> dict[str, dict[str, int]]:
        """By cold key: votes committed, revealed, in a round that was decided, and as it was decided."""
        seats, votes, rounds = db.seats.c, db.votes.c, db.rounds.c
        revealed = votes.vote.is_not(None)
        judged = and_(revealed, rounds.result.is_not(None))
        query = (
            select(
                seats.cold,
                func.count().label("committed"),
                _sum_if(revealed).label("revealed"),
                _sum_if(judged).label("judged"),
                _sum_if(and_(judged, votes.vote == rounds.result)).label("agreed"),
            )
            .join(db.votes, and_(votes.seat == seats.seat, votes.block >= seats.since))
            .join(db.rounds, and_(rounds.job == votes.job, rounds.round == votes.round))
            .where(seats.cold.in_(colds))
            .group_by(seats.cold)
        )
        return {
            row.cold: {key: value for key, value in row._mapping.items() if key != "cold"} for row in self._rows(query)
        }

    def _slashed(self, colds: list[str]) -> Counter[str]:
        query = select(db.seats.c.cold, db.seats.c.slashed).where(db.seats.c.cold.in_(colds))
        slashed: Counter[str] = Counter()
        for row in self._rows(query):
            slashed[row.cold] += int(row.slashed)
        return slashed

    # ------------------------------------------------------------------------------------------- artifacts

    def artifacts(self, *, maker: str = "", owner: str = "", before: str = "", limit: int = 20) -> dict[str, Any]:
        """What settled jobs made, the newest first. The cursor is the last one's job and lane."""
        table = db.artifacts.c
        query = select(db.artifacts)
        if maker:
            query = query.where(table.maker == checksummed(maker))
        if owner:
            query = query.where(table.owner == checksummed(owner))
        place = (table.block, cast(table.job, Text), table.lane)
        if before:
            block, job, lane = parts_of(before, MADE)
            same = table.block == int(block)
            older = (table.block < int(block), and_(same, table.job < job))
            query = query.where(or_(*older, and_(same, table.job == job, table.lane < int(lane))))
        rows = self._rows(query.order_by(*(column.desc() for column in place)).limit(limit + 1))
        last = rows[limit - 1] if len(rows) > limit else None
        following = f"{last.block}:{last.job}:{last.lane}" if last else None
        return {"artifacts": [_plain(row) for row in rows[:limit]], "next": following}

    def artifact(self, artifact: str) -> dict[str, Any]:
        """One artifact, with what it was made of and the jobs that name it as a parent. Raises NotYetKnown."""
        rows = self._rows(select(db.artifacts).where(db.artifacts.c.artifact == artifact))
        if not rows:
            raise NotYetKnown(f"no settled job made {artifact}", hint="only lanes that were paid make artifacts")
        row, parents = rows[0], db.parents.c
        made_of = self._rows(select(db.parents).where(parents.job == row.job).order_by(parents.place))
        uses = select(db.parents).where(parents.artifact == artifact).order_by(parents.block).limit(LANES)
        shown = [{key: value for key, value in _plain(parent).items() if key != "job"} for parent in made_of]
        return {**_plain(row), "parents": shown, "used_by": [_plain(parent) for parent in self._rows(uses)]}

    def _rows(self, query: Executable) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))


def _plain(row: Any) -> dict[str, Any]:
    return dict(row._mapping)


def _sum_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _live() -> ColumnElement[bool]:
    return and_(db.seats.c.unstaked.is_(False), db.seats.c.withdrawable_at.is_(None))


def _ranked(cursor: str) -> tuple[int, str]:
    """A count, and the address after which to go on. Raises BadInput."""
    count, address = parts_of(cursor, RANKED)
    return int(count), address


def _lane(row: Any) -> dict[str, Any]:
    terms = json.loads(row.terms)
    kept = ("job", "lane", "price", "score", "payout", "state", "outcome", "metric", "posted_at", "tx", "block")
    about = {name: row._mapping[name] for name in kept}
    return {**about, "floor": terms["floor"], "target": terms["target"], "end": _end(row)}


def _end(row: Any) -> str:
    """How a lane ended, in one word: why it was paid, or why not."""
    if row.state != "settled":
        return later("going on")
    if row.outcome == _AGREED:
        return later("agreed")
    if row.payout != "0":
        return later("paid")
    if row.word is None:
        return later("got no training keys") if row.outcome == _NO_TRAINING_KEYS else later("not submitted")
    if row.score is None:
        return later("void")
    return CODES[row.score] if row.score >= BAD else later("below the floor")


def _agrees(row: Any) -> bool | None:
    return None if row.vote is None or row.result is None else bool(row.vote == row.result)
