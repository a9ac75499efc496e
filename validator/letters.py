"""Letters to this node's hot key, kept until their job is settled: a carrier may deliver each of them only once."""

from collections.abc import Callable, Iterable
from hashlib import sha256

from heldout.market.journal import Journal
from heldout.market.messages import Kind, Letter, hexed
from heldout.market.terms import Address, JobId

WANTED = frozenset({Kind.SUBMISSION, Kind.HELD_OUT_KEYS})
LONGEST = 1 << 16
MOST_PER_JOB = 256
"""Strangers can write too; the parties of a job write at most nine letters a round."""


class Letters:
    """What has arrived. `fetch` brings the letters that a carrier has not delivered yet."""

    def __init__(self, journal: Journal, me: Address, fetch: Callable[[], Iterable[Letter]]) -> None:
        self._journal = journal
        self._me = me.lower()
        self._fetch = fetch

    def collect(self) -> None:
        """Take in what has come. Raises whatever `fetch` raises."""
        for letter in self._fetch():
            self.keep(letter)

    def keep(self, letter: Letter) -> None:
        """A letter that is not for this node, is absurdly long or one too many is dropped."""
        data = letter.encode()
        if letter.receiver.lower() != self._me or letter.kind not in WANTED or len(data) > LONGEST:
            return
        key = f"{_prefix(letter.job)}{sha256(data).hexdigest()}"
        known = self._journal.items(_prefix(letter.job))
        if len(known) < MOST_PER_JOB and all(key != name for name, _ in known):
            self._journal.put(key, {"letter": hexed(data)})

    def of(self, job: JobId) -> tuple[Letter, ...]:
        return tuple(_decode(record) for _, record in self._journal.items(_prefix(job)))

    def forget(self, job: JobId) -> None:
        for key, _ in self._journal.items(_prefix(job)):
            self._journal.delete(key)


def _decode(record: dict[str, str]) -> Letter:
    return Letter.decode(bytes.fromhex(record["letter"][2:]))


def _prefix(job: JobId) -> str:
    return f"letter/{job}/"
