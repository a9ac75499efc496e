"""What pages and API are made from, and what time it is on the chain."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from heldout.market.errors import ChainProblem
from heldout.market.keeping.offered import OfferedKeeper
from heldout.market.service.accounts import Accounts
from heldout.market.service.letters import Letters
from heldout.market.service.manifests import Manifests
from heldout.market.service.people import People
from heldout.market.service.reading import Reading
from heldout.market.service.reported import Reported
from heldout.market.service.statistics import Statistics
from heldout.market.settings import Network
from heldout.market.terms import Timestamp


class Stamped(Protocol):
    @property
    def timestamp(self) -> Timestamp: ...


class Headed(Protocol):
    """What block time needs of heldout.market.chain.Chain."""

    def head(self) -> Stamped: ...


class BlockTime:
    """The time of the chain's head, carried on by this machine's own seconds until the next block tells it anew.

    Deadlines are compared with block time, which a devnet moves at will. Before the first block was seen, it is the
    wall clock's.
    """

    def __init__(self, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        self._clock, self._ticks = clock, ticks
        self._seen: tuple[int, float] | None = None
        self._lock = Lock()

    def ask(self, chain: Headed) -> None:
        """After every block. A chain that does not answer leaves the time as it is."""
        try:
            stamp = chain.head().timestamp
        except ChainProblem:
            return
        with self._lock:
            self._seen = (stamp, self._ticks())

    def __call__(self) -> Timestamp:
        with self._lock:
            seen = self._seen
        return Timestamp(int(self._clock() if seen is None else seen[0] + self._ticks() - seen[1]))


@dataclass(frozen=True)
class Sources:
    """`url` is the service's public address."""

    network: Network
    url: str
    now: Callable[[], Timestamp]
    reading: Reading
    manifests: Manifests
    reported: Reported
    letters: Letters
    people: People
    accounts: Accounts
    statistics: Statistics
    figures: Callable[[], dict[str, Any]]
    """Of `statistics`, remembered for a while."""
    ask: Callable[[str, str], dict[str, Any]]
    """The assistant's answer to a question that a client put. Raises Throttled."""
    keepers: tuple[OfferedKeeper, ...] = ()
    model: str = ""
    """The language model that phrases answers, by name."""
