"""What an address put into jobs and got out of them: money rows of the index (P1.4), for page, API and tax.

The books also have what moved between wallet, free balance and stakes, so that they add up to the free balance:

    free = sum(earned) − sum(spent) + sum(moved)
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Engine, Integer, Select, cast, func, select, tuple_

from heldout.market.money import Wei
from heldout.market.service import database as db
from heldout.market.service.pages.words import iso
from heldout.market.service.reading import parse_place
from heldout.market.signatures import checksummed
from heldout.market.terms import Address

FIELDS: Final = ("time", "block", "tx", "job", "purpose", "earned", "spent", "moved")
MOST: Final = 100_000
"""Rows of a CSV file, of each kind."""
_SIGNS: Final = {"Deposited": 1, "Withdrawn": -1, "Staked": -1, "Unstaked": 1}


class Accounts:
    """Queries over one database. `seat_stake` asks the chain what a seat locks, and may raise ChainProblem."""

    def __init__(self, engine: Engine, seat_stake: Callable[[], Wei]) -> None:
        self._engine, self._seat_stake = engine, seat_stake

    def money(self, address: str, *, before: str = "", limit: int = 25) -> dict[str, Any]:
        """Newest first, amounts in wei as text. `next` is the cursor of the following page, null on the last."""
        query = _rows_of(checksummed(address))
        if before:
            query = query.where(tuple_(db.money.c.block, _ROWID) < tuple_(*parse_place(before)))
        with self._engine.connect() as connection:
            rows = list(connection.execute(query.limit(limit + 1)))
        following = f"{rows[limit - 1].block}:{rows[limit - 1].place}" if len(rows) > limit else None
        return {"money": [_told(row) for row in rows[:limit]], "next": following}

    def sums(self, address: str) -> dict[str, str]:
        """Everything it earned and spent, exactly."""
        account = checksummed(address)
        columns = (db.money.c.incoming, db.money.c.amount)
        totals = {False: 0, True: 0}
        with self._engine.connect() as connection:
            for incoming, amount in connection.execute(select(*columns).where(db.money.c.account == account)):
                totals[bool(incoming)] += int(amount)
        return {"earned": str(totals[False]), "spent": str(totals[True])}

    def csv(self, address: str) -> str:
        """Every row, oldest first; amounts in whole tokens with all their decimals. Raises ChainProblem."""
        account = checksummed(address)
        with self._engine.connect() as connection:
            rows = list(connection.execute(_rows_of(account).limit(MOST)))
            events = list(connection.execute(_moves_of(account).limit(MOST)))
        lines = [(row.block, _in_a_job(row)) for row in reversed(rows)]
        lines += [(event.block, line) for event, line in zip(events, self._moved(events), strict=True)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows(line for _, line in sorted(lines, key=lambda line: line[0]))
        return text.getvalue()

    def _moved(self, events: list[Any]) -> Iterator[list[Any]]:
        """Lines of deposits, withdrawals and stakes."""
        stake = self._seat_stake() if any(event.name == "Staked" for event in events) else Wei(0)
        for event in events:
            amount = _SIGNS[event.name] * int(json.loads(event.args).get("amount", stake))
            purpose = {"Deposited": "deposit", "Withdrawn": "withdrawal"}.get(event.name, f"stake of seat {event.seat}")
            yield [iso(event.timestamp), event.block, event.tx, "", purpose, "", "", _exact(amount)]


def _in_a_job(row: Any) -> list[Any]:
    sides = ("", _exact(int(row.amount))) if row.incoming else (_exact(int(row.amount)), "")
    return [iso(row.at), row.block, row.tx, row.job, _purpose(row), *sides, ""]


def _exact(wei: int) -> str:
    """In whole tokens, with all decimals."""
    return f"{'-' if wei < 0 else ''}{abs(wei) // 10**18}.{abs(wei) % 10**18:018d}"


_ROWID = db.money.c.row
_AT = (
    select(func.max(db.events.c.timestamp)).where(db.events.c.block == db.money.c.block).correlate(db.money)
).scalar_subquery()


def _rows_of(account: Address) -> Select[Any]:
    money = db.money.c
    columns = (money.job, money.incoming, money.purpose, money.amount, money.tx, money.block)
    order = (money.block.desc(), _ROWID.desc(), money.job.desc())
    place, at = cast(_ROWID, Integer).label("place"), _AT.label("at")
    return select(*columns, place, at).where(money.account == account).order_by(*order)


def _moves_of(account: Address) -> Select[Any]:
    events = db.events.c
    return select(db.events).where(events.account == account).order_by(events.block, events.log_index)


def _told(row: Any) -> dict[str, Any]:
    kept = ("job", "incoming", "amount", "tx", "block", "at")
    return {name: row._mapping[name] for name in kept} | {"purpose": _purpose(row)}


def _purpose(row: Any) -> str:
    """The contract calls it a refund on both ways: what goes in is the escrow."""
    return "escrow" if row.incoming and row.purpose == "refund" else str(row.purpose)
