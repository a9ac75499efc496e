"""Letters to this node's hot key, kept until their job is settled: a carrier may deliver each of them only once.

Anybody can announce a letter to a seat (P2.5). So what comes waits in memory until the chain has said who the parties
of its job are, and each of them has room of its own: strangers take none, and no party takes another's (threat 89).
What was answered on chain (P4.5) does not pass through here: it is read from the chain as often as it is needed.
"""

from collections.abc import Callable, Iterable, Set
from hashlib import sha256

from heldout.market.journal import Journal
from heldout.market.messages import Kind, Letter, hexed
from heldout.market.terms import Address, JobId

WANTED = frozenset({Kind.SUBMISSION, Kind.HELD_OUT_KEYS})
LONGEST = 1 << 16
MOST_PER_SENDER = 32
"""Of one job and kind: a party writes at most eight a round, in three rounds."""
MOST_WAITING = 4096
"""Of all jobs whose turn has not come, the newest."""


class Letters:
    """What has arrived. `fetch` brings the letters that a carrier has not delivered yet."""

    def __init__(self, journal: Journal, me: Address, fetch: Callable[[], Iterable[Letter]]) -> None:
        self._journal = journal
        self._me = me.lower()
        self._fetch = fetch
        self._waiting: dict[str, Letter] = {}

    def collect(self, job: JobId, senders: Set[str]) -> None:
        """Take in what has come, and keep what `senders` (lower case) wrote about `job`. Raises what `fetch` raises."""
        for letter in self._fetch():
            self._receive(letter)
        for key in [key for key, letter in self._waiting.items() if letter.job == job]:
            letter = self._waiting[key]
            if letter.sender.lower() in senders:
                self._keep(letter)  # on a full disk it goes on waiting: no carrier brings it again
            del self._waiting[key]

    def of(self, job: JobId) -> tuple[Letter, ...]:
        return tuple(_decode(record) for _, record in self._journal.items(_prefix(job)))

    def forget(self, job: JobId) -> None:
        self._waiting = {key: letter for key, letter in self._waiting.items() if letter.job != job}
        for key, _ in self._journal.items(_prefix(job)):
            self._journal.delete(key)

    def _receive(self, letter: Letter) -> None:
        """A letter that is not for this node, or is absurdly long, is dropped."""
        data = letter.encode()
        if letter.receiver.lower() != self._me or letter.kind not in WANTED or len(data) > LONGEST:
            return
        self._waiting[sha256(data).hexdigest()] = letter
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def _keep(self, letter: Letter) -> None:
        """Once, unless its sender's room is full."""
        data = letter.encode()
        room = f"{_prefix(letter.job)}{letter.kind}/{letter.sender.lower()}/"
        key = room + sha256(data).hexdigest()
        known = self._journal.items(room)
        if len(known) < MOST_PER_SENDER and all(key != name for name, _ in known):
            self._journal.put(key, {"letter": hexed(data)})


def _decode(record: dict[str, str]) -> Letter:
    return Letter.decode(bytes.fromhex(record["letter"][2:]))


def _prefix(job: JobId) -> str:
    return f"letter/{job}/"
