"""Writes repeated with the same Idempotency-Key are done once, and answered again as they were the first time."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import Header
from fastapi.responses import JSONResponse
from sqlalchemy import Engine, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from heldout.market.errors import BadInput
from heldout.market.jsontext import canonical_json
from heldout.market.service import database as db

KEPT_S: Final = 86_400
_MOST: Final = 20_000

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern="^[!-~]{0,200}$",
        description="the same key and the same body within a day: done once, answered alike",
    ),
]


class Answers:
    """`clock` is unix time."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine, self._clock = db.writing(engine), clock

    def once(self, key: str, who: str, request: Any, do: Callable[[], tuple[int, dict[str, Any]]]) -> JSONResponse:
        """`do()` gives a status and what to answer; of a key that `who` used before, it is not done again.

        Errors are not kept: what failed may be tried again. Raises BadInput if the key came with another request.
        """
        if not key:
            status, said = do()
            return JSONResponse(said, status)
        name, asked = (sha256(canonical_json(part)).hexdigest() for part in ([who, key], request))
        with self._engine.connect() as connection:
            row = connection.execute(select(db.answers).where(db.answers.c.key == name)).first()
        if row is not None and row.expires > self._clock():
            if row.request != asked:
                hint = "use a new key for a new request"
                raise BadInput("this Idempotency-Key came with another request", hint=hint, code="key_reused")
            return JSONResponse(json.loads(row.json), row.status, {"Idempotency-Replayed": "true"})
        status, said = do()
        self._keep({"key": name, "request": asked, "status": status, "json": json.dumps(said)})
        return JSONResponse(said, status)

    def _keep(self, row: dict[str, Any]) -> None:
        now = int(self._clock())
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(db.answers).where(db.answers.c.expires <= now))
                if (connection.execute(select(func.count()).select_from(db.answers)).scalar() or 0) < _MOST:
                    connection.execute(insert(db.answers), row | {"expires": now + KEPT_S})
        except IntegrityError:  # the same request came twice at once, and the other was first
            return
