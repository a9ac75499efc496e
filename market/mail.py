"""A party's mail: letters go through the market service while it answers, else over the chain's `announce` (P2.5, P8).

Both roads are read always, so a service that is gone, slow or silent about some letter can delay nothing that its
sender cares to announce. A letter is the same letter by whatever road it comes: the hash of its encoding names it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol

from heldout.market.carrier import Carrier, ServiceProblem
from heldout.market.errors import BadMessage, HeldoutError, Refused
from heldout.market.lifecycle import ChainEvent
from heldout.market.messages import BULLETIN, PROVEN, Kind, Letter
from heldout.market.pile import Pile
from heldout.market.settings import Network
from heldout.market.signatures import Signer
from heldout.market.terms import JobId

log = logging.getLogger(__name__)

TRIES: Final = 4
PAUSE_S: Final = 0.7
"""Between tries of a letter that the service does not take yet: its index may be a block behind."""
RESEND_S: Final = 30.0
MOST_CALLS: Final = 1_000
MOST_WAITING: Final = 8 << 20
"""Bytes of letters, and of bids, kept of each road: whoever floods one drives out what came by it, and no node out of
its memory."""
MOST_SEEN: Final = 100_000
"""Letters that are known when they come again. An older one is new again: that costs its reader time alone."""
REREAD: Final = 64
"""Blocks read again each time, for letters that a reorg moved."""


class Head(Protocol):
    @property
    def number(self) -> int: ...


class Announcements(Protocol):
    """What mail needs of heldout.market.chain.Chain."""

    def head(self) -> Head: ...
    def events(self, first: int, last: int, *, names: Sequence[str]) -> list[ChainEvent]: ...


class Sender(Protocol):
    """What mail needs of heldout.market.chain.Outbox."""

    def send(self, intent: str, function: str, *args: Any) -> Any: ...


class Mail:
    """One address's mail, or with no account the public board. For one thread.

    What was fetched is remembered by this object alone: after a restart every letter is new again, so whoever acts on
    letters must act on them once however often they come.
    """

    def __init__(
        self,
        network: Network,
        chain: Announcements,
        account: Signer | None = None,
        outbox: Sender | None = None,
        *,
        carrier: Carrier | None = None,
        pause: Callable[[float], None] = time.sleep,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network, self._chain, self._account, self._outbox = network, chain, account, outbox
        self._pause, self._ticks = pause, ticks
        self._carrier = carrier or (Carrier(network.service, network, account) if network.service else None)
        self._sent: dict[bytes, float] = {}
        self._seen = Pile[None](MOST_SEEN)
        self._roads = self._by_chain, self._by_service = _Road(), _Road()
        self._calls: dict[bytes, Letter] = {}
        self._mail_after = self._calls_after = 0
        self._read_until = network.deploy_block

    # ---------------------------------------------------------------------------------------------- sending

    def send(self, letter: Letter, *, fallback: bool = False) -> None:
        """Deliver a letter to the service; with `fallback`, announce it on chain if that fails.

        Send it again as often as you like: it is posted anew every RESEND_S, since a service may lose its database.
        Raises ServiceProblem or Refused if neither road took it, BadMessage if the letter itself is wrong.
        """
        key = _key(letter)
        now = self._ticks()
        sent_before = key in self._sent
        if sent_before and now < self._sent[key] + RESEND_S:
            return
        try:
            self._post(letter)
        except BadMessage:
            raise
        except HeldoutError as problem:
            if not sent_before:
                self._announce(letter, key, problem, fallback)
        self._sent[key] = now

    def _announce(self, letter: Letter, key: bytes, problem: HeldoutError, fallback: bool) -> None:
        if not fallback or self._outbox is None:
            raise problem
        log.warning("%s; announcing a %s letter on chain", problem.message, letter.kind)
        self._outbox.send(f"announce:{key.hex()}", "announce", letter.encode())

    def _post(self, letter: Letter) -> None:
        if self._carrier is None:
            raise ServiceProblem("the network file names no market service", hint="letters can go over the chain")
        for left in range(TRIES - 1, -1, -1):
            try:
                self._carrier.post(letter)
                return
            except Refused as refused:
                if refused.code == "erased":  # it had come, and whoever erased it may have read it
                    return
                if not (left and (refused.retryable or refused.code == "not_a_party")):
                    raise
            self._pause(PAUSE_S)

    # -------------------------------------------------------------------------------------------- receiving

    def fetch(self, job: JobId | None = None) -> Iterator[Letter]:
        """New letters to this address, of one job or of all; bids on `job` too. A service that is down is passed over.

        A letter is taken when the next one is asked for: one that could not be kept, on a full disk say, comes again.
        Raises ChainProblem.
        """
        self._read_chain()
        self._read_service(job)
        return self._take_out(job)

    def _take_out(self, job: JobId | None) -> Iterator[Letter]:
        for inbox in (road.inbox for road in self._roads):
            for key, letter in inbox:
                if key in inbox and (job is None or letter.job == job):
                    yield letter
                    inbox.pop(key)

    def bids(self, job: JobId) -> list[Letter]:
        """All bids on a job that are known by either road, signatures unchecked. Raises ChainProblem."""
        self._read_chain()
        self._read_board(job)
        return [letter for road in self._roads for _, letter in road.board if letter.job == job]

    def calls(self, now: int) -> Mapping[bytes, Letter]:
        """All calls for bids that are known by either road and not over at `now`, block time, by their hashes;
        signatures unchecked. Raises ChainProblem."""
        self._read_chain()
        self._read_calls()
        self._calls = {key: letter for key, letter in self._calls.items() if _ends(letter) >= now}
        return self._calls

    def drop_call(self, key: bytes) -> None:
        """A call that turned out to be none makes room for others, and is not taken again."""
        self._calls.pop(key, None)
        self._seen.add(key, None, 1)

    def report(self, job: JobId, lane: int, lines: Sequence[Mapping[str, float]]) -> None:
        """What a training says of itself, to the service only: it is for watching, and worth no gas.

        Raises ServiceProblem, Refused."""
        if self._carrier is not None and self._account is not None:
            self._carrier.report(job, lane, lines)

    def readings(self, job: JobId) -> dict[int, list[dict[str, float]]]:
        """What each lane's provider reported; nothing if no service answers."""
        try:
            return self._carrier.readings(job) if self._carrier is not None else {}
        except HeldoutError as problem:
            log.debug("no readings from the service: %s", problem.message)
            return {}

    def records(self, job: JobId) -> list[Letter]:
        """How trainings ran, signatures unchecked; nothing if no service answers."""
        try:
            return self._carrier.records(job) if self._carrier is not None else []
        except HeldoutError as problem:
            log.debug("no run records from the service: %s", problem.message)
            return []

    def close(self) -> None:
        if self._carrier:
            self._carrier.close()

    def _read_chain(self) -> None:
        last = self._chain.head().number
        first = max(self._network.deploy_block, min(self._read_until, last) - REREAD)
        for event in self._chain.events(first, last, names=["Announced"]):
            for letter in _announced(event):
                self._take(letter, self._by_chain)
        self._read_until = last

    def _read_service(self, job: JobId | None) -> None:
        if job:
            self._read_board(job)
        if self._carrier and self._account:
            try:
                for number, letter in self._carrier.mail(self._mail_after):
                    self._mail_after = max(self._mail_after, number)
                    self._take(letter, self._by_service)
            except HeldoutError as problem:
                log.debug("no mail from the service: %s", problem.message)

    def _read_board(self, job: JobId) -> None:
        if self._carrier:
            try:
                for letter in self._carrier.bids(job):
                    self._take(letter, self._by_service)
            except HeldoutError as problem:
                log.debug("no bids from the service: %s", problem.message)

    def _read_calls(self) -> None:
        if self._carrier:
            try:
                for number, letter in self._carrier.calls(self._calls_after):
                    self._calls_after = max(self._calls_after, number)
                    self._take(letter, self._by_service)
            except HeldoutError as problem:
                log.debug("no calls for bids from the service: %s", problem.message)

    def _take(self, letter: Letter, road: "_Road") -> None:
        """File a letter that is public or for this address, the first time it comes."""
        data = letter.encode()
        key, size = sha256(data).digest(), len(data)
        mine = self._account is not None and letter.receiver.lower() == self._account.address.lower()
        public = letter.kind in PROVEN and letter.receiver == BULLETIN
        if key in self._seen or not (mine or public):
            return
        if public and letter.kind is Kind.CALL:
            if len(self._calls) < MOST_CALLS:  # whoever floods crowds out later calls, not this node's memory
                self._calls[key] = letter
            return
        self._seen.add(key, None, 1)
        displaced = road.inbox.add(key, letter, size)
        if public:
            displaced += road.board.add(key, letter, size)
        for each in displaced:  # it may come again, and by the other road
            self._seen.pop(each)


class _Road:
    """What came by the chain, or by the service."""

    def __init__(self) -> None:
        self.inbox, self.board = Pile[Letter](MOST_WAITING), Pile[Letter](MOST_WAITING)


def _key(letter: Letter) -> bytes:
    return sha256(letter.encode()).digest()


def _ends(letter: Letter) -> int:
    """When a call is over, by its own word; before all time if it says nothing sensible."""
    try:
        return letter.int_of("until")
    except BadMessage:
        return -1


def _announced(event: ChainEvent) -> Iterator[Letter]:
    """The letter in an `Announced` event, if it is one and from who announced it; public ones may be relayed."""
    try:
        letter = Letter.decode(event.args["message"])
    except BadMessage:
        return
    if letter.kind in PROVEN or letter.sender.lower() == event.args["from"].lower():
        yield letter
