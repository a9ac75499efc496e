"""What an address put into jobs and got out of them: money rows of the index (P1.4), for page, API and tax."""

import csv
import io
from typing import Any, Final

from sqlalchemy import Engine, Integer, Select, cast, func, select, tuple_

from heldout.market.service import database as db
from heldout.market.service.pages.words import iso
from heldout.market.service.reading import parse_place
from heldout.market.signatures import checksummed
from heldout.market.terms import Address

FIELDS: Final = ("time", "block", "tx", "job", "purpose", "earned", "spent")
MOST: Final = 100_000
"""Rows of a CSV file."""


class Accounts:
    """Queries over one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        """Every row, oldest first; amounts in whole tokens with all their decimals."""
        with self._engine.connect() as connection:
            rows = list(connection.execute(_rows_of(checksummed(address)).limit(MOST)))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(FIELDS)
        for row in reversed(rows):
            amount = f"{int(row.amount) // 10**18}.{int(row.amount) % 10**18:018d}"
            sides = ("", amount) if row.incoming else (amount, "")
            writer.writerow([iso(row.at), row.block, row.tx, row.job, _purpose(row), *sides])
        return text.getvalue()


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


def _told(row: Any) -> dict[str, Any]:
    kept = ("job", "incoming", "amount", "tx", "block", "at")
    return {name: row._mapping[name] for name in kept} | {"purpose": _purpose(row)}


def _purpose(row: Any) -> str:
    """The contract calls it a refund on both ways: what goes in is the escrow."""
    return "escrow" if row.incoming and row.purpose == "refund" else str(row.purpose)
