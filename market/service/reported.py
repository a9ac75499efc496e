"""What providers say of their own training while it runs. Shown as that, believed by nothing."""

import json
from collections import defaultdict

from sqlalchemy import Engine, delete, insert, select

from heldout.market.service import database as db
from heldout.market.terms import JobId

MOST_LINES = 100
MOST_FIELDS = 16
LONGEST_NAME = 40

Line = dict[str, float]


class Reported:
    """The latest lines of each lane, as its provider last sent them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, job: JobId) -> dict[int, list[Line]]:
        """By lane, oldest first."""
        table = db.readings.c
        query = select(table.lane, table.json).where(table.job == job).order_by(table.lane, table.number)
        lines: defaultdict[int, list[Line]] = defaultdict(list)
        with self._engine.connect() as connection:
            for lane, line in connection.execute(query):
                lines[lane].append(json.loads(line))
        return dict(lines)

    def replace(self, job: JobId, lane: int, lines: list[Line]) -> None:
        """All that a lane's provider says now; what it said before is forgotten."""
        table = db.readings
        rows = [
            {"job": job, "lane": lane, "number": number, "json": json.dumps(line)} for number, line in enumerate(lines)
        ]
        with db.writing(self._engine).begin() as connection:
            connection.execute(delete(table).where(table.c.job == job, table.c.lane == lane))
            if rows:
                connection.execute(insert(table), rows)
