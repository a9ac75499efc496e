"""The bid board and the mailboxes (P8): carries letters between the parties of a job, and vouches for none of them.

A bid is for everybody and proves itself by its signature; so does a call for bids (`calls`). A private letter goes from
one party of a job to another: its requester, who bids or trains in it, and the seats that were drawn for it. What it
says is sealed to its receiver.
"""

import json
import re
from collections.abc import Callable, Collection
from hashlib import sha256
from itertools import chain
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from heldout.market.calling import CallForBids
from heldout.market.errors import BadMessage, ChainProblem, HeldoutError, Refused
from heldout.market.messages import BULLETIN, Kind, Letter, bid_of
from heldout.market.money import Wei
from heldout.market.runrecord import read_record
from heldout.market.service import calls
from heldout.market.service import database as db
from heldout.market.settings import Network
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, JobId

MOST_BYTES: Final = 32 << 10
"""Of one letter: a list of 60 wrapped keys takes 4 KiB."""
MOST_FROM_ONE: Final = 256
"""Letters of one sender about one job: a submission to each of 31 seats, in three rounds, with room."""
MOST_ON_THE_BOARD: Final = 16
PAGE: Final = 200
_RELEASES: Final = (Kind.TRAINING_KEYS, Kind.HELD_OUT_KEYS)
"""What a keeper may carry in a requester's name: envelopes that open, or do not."""
_JOB = re.compile(r"0x[0-9a-f]{64}")


class Asked(calls.Asked, Protocol):
    """What the board asks of heldout.market.chain.Chain."""

    def free(self, account: str) -> Wei: ...
    def committee(self, job: JobId) -> tuple[bytes, tuple[int, ...]]: ...


class NotYetKnown(HeldoutError):
    """A job or party that the index does not have: it may be a block behind."""

    code = "not_found"
    retryable = True


class Letters:
    """`clock` is unix time. `keepers` may bring what releases keys in the name of any job's requester (decision 24)."""

    def __init__(
        self,
        engine: Engine,
        asked: Asked,
        network: Network,
        clock: Callable[[], float],
        keepers: Collection[Address] = (),
    ) -> None:
        self._keepers = frozenset(keeper.lower() for keeper in keepers)
        self._engine, self._chain, self._network, self._clock = engine, asked, network, clock
        self.calls = calls.Calls(engine, asked, network, clock)

    def post(self, letter: Letter, sender: Address | None) -> bool:
        """Keep a letter; False if it was here. `sender` is who is signed in; calls and bids need nobody.

        Raises BadMessage, Refused, NotYetKnown.
        """
        encoded = letter.encode()
        if len(encoded) > MOST_BYTES or not _JOB.fullmatch(letter.job):
            raise BadMessage(f"a letter has at most {MOST_BYTES} bytes and names a job", code="bad_letter")
        if self._has(encoded):
            return False
        with self._engine.connect() as connection:
            _refuse_erased(connection, encoded)
        call = None
        if letter.kind is Kind.CALL:
            call = self.calls.check(letter)
        elif letter.kind is Kind.BID:
            self._check_bid(letter)
        elif letter.kind is Kind.RUN_RECORD:
            self._check_record(letter)
        else:
            self._check_mail(letter, sender)
        return self._keep(letter, encoded, call)

    def bids(self, job: JobId) -> list[dict[str, Any]]:
        """The bids on a job, oldest first."""
        return self._read(db.letters.c.job == job, db.letters.c.kind == Kind.BID.value)

    def records(self, job: JobId) -> list[dict[str, Any]]:
        """How a job's trainings ran, as their providers signed it, oldest first."""
        return self._read(db.letters.c.job == job, db.letters.c.kind == Kind.RUN_RECORD.value)

    def mail(self, receiver: Address, after: int, job: JobId | None) -> list[dict[str, Any]]:
        """A mailbox after letter number `after`, oldest first, one page."""
        where = [db.letters.c.receiver == receiver.lower(), db.letters.c.number > after]
        return self._read(*where, *([db.letters.c.job == job] if job else []))

    def _read(self, *where: Any) -> list[dict[str, Any]]:
        query = select(db.letters.c.number, db.letters.c.letter).where(*where).order_by(db.letters.c.number).limit(PAGE)
        with self._engine.connect() as connection:
            return [{"number": row.number, "letter": json.loads(row.letter)} for row in connection.execute(query)]

    def _has(self, encoded: bytes) -> bool:
        with self._engine.connect() as connection:
            query = select(db.letters.c.number).where(db.letters.c.hash == sha256(encoded).hexdigest())
            return connection.execute(query).first() is not None

    def _keep(self, letter: Letter, encoded: bytes, call: CallForBids | None) -> bool:
        most = MOST_ON_THE_BOARD if letter.receiver == BULLETIN else MOST_FROM_ONE
        row = {
            "hash": sha256(encoded).hexdigest(),
            "job": letter.job,
            "kind": letter.kind.value,
            "sender": letter.sender.lower(),
            "receiver": letter.receiver.lower(),
            "letter": encoded.decode(),
        }
        mine = (db.letters.c.job == row["job"], db.letters.c.sender == row["sender"], db.letters.c.kind == row["kind"])
        try:
            with db.writing(self._engine).begin() as connection:
                db.one_after_the_other(connection)  # a reader goes by numbers: they must appear in their order
                _refuse_erased(connection, encoded)  # a party may have erased it while the chain was asked
                if letter.kind is Kind.BID and self.calls.terms_of(connection, letter.job) is not None:
                    _drop_outlived(connection, letter, *mine)
                if (
                    connection.execute(select(func.count()).select_from(db.letters).where(*mine)).scalar() or 0
                ) >= most:
                    raise Refused(
                        f"{most} letters of one kind are enough", hint="wait for answers", code="too_many_letters"
                    )
                last = connection.execute(select(func.max(db.letters.c.number))).scalar() or 0
                number = max(last + 1, int(self._clock() * 1_000_000))
                if call is not None:
                    self.calls.note(connection, number, call)
                connection.execute(insert(db.letters), row | {"number": number})
        except IntegrityError:  # the same letter twice at once, or two in one microsecond
            return False if self._has(encoded) else self._keep(letter, encoded, call)
        return True

    # ------------------------------------------------------------------------------------------- who may

    def _check_bid(self, letter: Letter) -> None:
        if letter.receiver != BULLETIN:
            raise BadMessage("a bid is for the bulletin", code="bad_letter")
        bid, signature = bid_of(letter)
        terms = self._terms_to_bid_on(letter.job)
        if bid.price > int(terms["priceCap"]):
            raise Refused(f"the price is above {terms['priceCap']}", hint="bid at most the cap", code="bid_above_cap")
        if bid.validUntil <= self._clock():
            raise Refused("the bid has expired", hint="sign a new one; check the clock", code="bid_expired")
        digest = bid.digest(self._network.chain_id, self._network.market)
        if not self._chain.verify_signature(bid.provider, digest, signature):
            raise BadMessage(f"{bid.provider} did not sign this bid", code="bad_signature")
        if self._chain.free(bid.provider) < int(terms["collateral"]):
            hint = "deposit first: bids that cannot be accepted are not shown"
            raise Refused("the provider's free balance is below the collateral", hint=hint, code="unfunded_bid")

    def _terms_to_bid_on(self, job: JobId) -> dict[str, Any]:
        """Of a job that is open, or called for. Raises Refused, NotYetKnown."""
        with self._engine.connect() as connection:
            if (called := self.calls.terms_of(connection, job)) is not None:
                return called
            row = _job(connection, job)
        if row.state != "open":
            raise Refused(f"the job is {row.state}", hint="bid on open jobs", code="bids_closed")
        terms: dict[str, Any] = json.loads(row.terms)
        return terms

    def _check_record(self, letter: Letter) -> None:
        record, signature = read_record(letter)
        with self._engine.connect() as connection:
            _job(connection, letter.job)
            lane = (db.lanes.c.job == letter.job, db.lanes.c.lane == record.lane)
            provider = connection.execute(select(db.lanes.c.provider).where(*lane)).scalar()
        if provider is None or provider.lower() != record.provider.lower():
            raise Refused("only a lane's provider tells how it trained", hint="sign as that", code="not_a_party")
        if not self._chain.verify_signature(record.provider, record.digest, signature):
            raise BadMessage(f"{record.provider} did not sign this record", code="bad_signature")

    def _check_mail(self, letter: Letter, sender: Address | None) -> None:
        if sender is None or not (letter.sender.lower() == sender.lower() or self._is_keeping(letter, sender)):
            raise Refused("a private letter needs its sender's session", hint="sign in as the sender", code="sign_in")
        checksummed(letter.receiver)
        parties = self._parties(letter.job)
        for role, address in (("sender", letter.sender), ("receiver", letter.receiver)):
            if address.lower() not in parties:
                message = f"the {role} {address} is no party of this job"
                raise Refused(message, hint="try again if it has just become one", code="not_a_party")

    def _is_keeping(self, letter: Letter, sender: Address) -> bool:
        if sender.lower() not in self._keepers or letter.kind not in _RELEASES:
            return False
        with self._engine.connect() as connection:
            return bool(_job(connection, letter.job).requester.lower() == letter.sender.lower())

    def _parties(self, job: JobId) -> frozenset[str]:
        """Lower-case addresses: requester, bidders, providers, and the hot keys of all seats drawn for the job."""
        with self._engine.connect() as connection:
            row = _job(connection, job)
            drawn = connection.execute(select(db.rounds.c.seats).where(db.rounds.c.job == job)).scalars().all()
        seats = {seat for round_ in drawn for seat in json.loads(round_)}
        if row.state == "committing":
            seats |= self._being_drawn(job)
        bidders = select(db.letters.c.sender).where(db.letters.c.job == job, db.letters.c.kind == Kind.BID.value)
        providers = select(db.lanes.c.provider).where(db.lanes.c.job == job)
        hot = select(db.seats.c.hot).where(db.seats.c.seat.in_(seats))
        with self._engine.connect() as connection:
            found = [connection.execute(query).scalars().all() for query in (bidders, providers, hot)]
        return frozenset(address.lower() for address in (row.requester, *chain.from_iterable(found)))

    def _being_drawn(self, job: JobId) -> set[int]:
        """The present committee, which no event names before its first commit; empty while nobody can know it."""
        try:
            return set(self._chain.committee(job)[1])
        except ChainProblem:
            return set()


def _job(connection: Connection, job: JobId) -> Any:
    row = connection.execute(select(db.jobs).where(db.jobs.c.id == job)).first()
    if row is None:
        raise NotYetKnown(f"no job {job}", hint="check the id; a new job may be a block away")
    return row


def _drop_outlived(connection: Connection, bid: Letter, *mine: ColumnElement[bool]) -> None:
    """Bids for calls are renewed, time and again: those that end before this one go. An old one that somebody brings
    again displaces none that is valid for longer."""
    found = connection.execute(select(db.letters.c.number, db.letters.c.letter).where(*mine))
    until = bid.int_of("validUntil")
    outlived = [row.number for row in found if int(json.loads(row.letter)["body"]["validUntil"]) <= until]
    connection.execute(delete(db.letters).where(db.letters.c.number.in_(outlived)))


def _refuse_erased(connection: Connection, encoded: bytes) -> None:
    query = select(db.erased.c.hash).where(db.erased.c.hash == sha256(encoded).hexdigest())
    if connection.execute(query).first() is not None:
        raise Refused("this letter was erased at a party's wish", hint="write a new one", code="erased")
