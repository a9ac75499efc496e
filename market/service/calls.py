"""Calls for bids on the board (P2.5): jobs that are not posted yet, each backed by its requester's free balance.

a letter ──▶ signed by its terms' requester, not over, and the market would take the job now ──▶ shown
its job is posted, or its time is over ──▶ shown no more; after a while it is removed, with the bids on it
"""

import json
from collections.abc import Callable
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, delete, exists, func, insert, or_, select

from heldout.market.calling import CallForBids, call_of
from heldout.market.errors import BadMessage, Refused, Reverted
from heldout.market.messages import Kind, Letter
from heldout.market.service import database as db
from heldout.market.settings import Network
from heldout.market.terms import JobId, JobTerms

MOST_OF_ONE: Final = 16
"""Calls of one requester at a time: all of them rest on the same free balance."""
KEPT_S: Final = 3_600
"""After its end, in case the chain turns back."""
PAGE: Final = 200
_CALLS, _LETTERS, _JOBS = db.calls.c, db.letters.c, db.jobs.c


class Asked(Protocol):
    """What the board asks of heldout.market.chain.Chain about a call."""

    def head(self) -> Any: ...
    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool: ...
    def try_post(self, terms: JobTerms) -> None: ...


class Unbacked(Refused):
    """The market would not take the job now. A deposit may be a block away."""

    code = "unfunded_call"
    retryable = True


class Calls:
    """`clock` is unix time."""

    def __init__(self, engine: Engine, asked: Asked, network: Network, clock: Callable[[], float]) -> None:
        self._engine, self._chain, self._network, self._clock = engine, asked, network, clock

    def check(self, letter: Letter) -> CallForBids:
        """Raises BadMessage, Refused, ChainProblem."""
        call, signature = call_of(letter, self._network)
        if not call.holds(self._chain.head().timestamp):
            hint = "call again, for no longer than the terms' bid window"
            raise Refused("the call is over, or goes on for too long", hint=hint, code="call_expired")
        digest = call.digest(self._network.chain_id, self._network.market)
        if not self._chain.verify_signature(letter.sender, digest, signature):
            raise BadMessage(f"{letter.sender} did not sign this call", code="bad_signature")
        try:
            self._chain.try_post(call.terms)
        except Reverted as refused:
            text = f"the market would not take this job now: {refused.message}"
            raise Unbacked(text, hint=refused.hint or "check the terms, and deposit the escrow first") from None
        return call

    def sweep(self) -> None:
        """Calls that are long over go, and the bids on those that came to nothing."""
        with self._engine.connect() as connection:
            if not connection.execute(select(exists().where(self._over))).scalar():
                return
        with db.writing(self._engine).begin() as connection:
            self._sweep(connection)

    def note(self, connection: Connection, number: int, call: CallForBids) -> None:
        """In the transaction that keeps its letter. Raises Refused."""
        mine = (_CALLS.requester == call.terms.requester.lower(), *self._standing())
        if (connection.execute(select(func.count()).select_from(db.calls).where(*mine)).scalar() or 0) >= MOST_OF_ONE:
            hint = "post one of them, or wait until one is over"
            raise Refused(f"{MOST_OF_ONE} calls at a time are enough", hint=hint, code="too_many_letters")
        row = {"number": number, "job": call.job, "requester": call.terms.requester.lower(), "until": call.until}
        connection.execute(insert(db.calls), row)

    def after(self, number: int) -> list[dict[str, Any]]:
        """Those that stand, after letter number `number`, oldest first, one page."""
        query = select(_LETTERS.number, _LETTERS.letter).join(db.calls, _CALLS.number == _LETTERS.number)
        query = query.where(_LETTERS.number > number, *self._standing()).order_by(_LETTERS.number).limit(PAGE)
        with self._engine.connect() as connection:
            return [{"number": row.number, "letter": json.loads(row.letter)} for row in connection.execute(query)]

    def ending(self, most: int) -> list[CallForBids]:
        """Those that stand, the next to end first."""
        query = select(_LETTERS.letter, _CALLS.job, _CALLS.until).join(db.calls, _CALLS.number == _LETTERS.number)
        query = query.where(*self._standing()).order_by(_CALLS.until, _CALLS.number).limit(most)
        with self._engine.connect() as connection:
            return [
                CallForBids(row.job, JobTerms.from_json(json.loads(row.letter)["body"]["terms"]), row.until)
                for row in connection.execute(query)
            ]

    def terms_of(self, connection: Connection, job: JobId) -> dict[str, Any] | None:
        """The terms of a job that is called for now."""
        query = select(_LETTERS.letter).join(db.calls, _CALLS.number == _LETTERS.number)
        found = connection.execute(query.where(_CALLS.job == job, *self._standing())).scalar()
        terms: dict[str, Any] | None = json.loads(found)["body"]["terms"] if found else None
        return terms

    def _standing(self) -> tuple[Any, ...]:
        return _CALLS.until > int(self._clock()), ~exists().where(_JOBS.id == _CALLS.job)

    @property
    def _over(self) -> ColumnElement[bool]:
        return _CALLS.until <= int(self._clock()) - KEPT_S

    def _sweep(self, connection: Connection) -> None:
        of_call = exists().where(_CALLS.number == _LETTERS.number, self._over)
        other = db.calls.alias()
        dead = exists().where(_CALLS.job == _LETTERS.job, self._over)
        alive = or_(
            exists().where(_JOBS.id == _LETTERS.job),
            exists().where(other.c.job == _LETTERS.job, other.c.until > int(self._clock()) - KEPT_S),
        )
        bids = _LETTERS.kind == Kind.BID.value
        connection.execute(delete(db.letters).where(or_(of_call, bids & dead & ~alive)))
        connection.execute(delete(db.calls).where(self._over))
