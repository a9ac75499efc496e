"""The calls for bids (P2.5) that a requester stands by: a letter in a file each, in `calls/` of its home directory.

Commands write and remove them, and whoever does the duties reads them: a call whose file is gone is never opened. With
the disk they are lost, and nothing else is: no money was locked.
"""

from collections.abc import Iterator
from pathlib import Path

from heldout.market.calling import CallForBids, call_of
from heldout.market.durable import write_whole
from heldout.market.errors import BadMessage
from heldout.market.messages import Letter
from heldout.market.settings import Network
from heldout.market.terms import JobId


class Calls:
    """Of one market; those of others may lie beside them."""

    def __init__(self, folder: Path, network: Network) -> None:
        self._folder, self._network = folder, network

    def keep(self, letter: Letter) -> None:
        """On disk when this returns; in place of another call for the same job."""
        write_whole(self._path(letter.job), letter.encode())

    def forget(self, job: JobId) -> None:
        self._path(job).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[CallForBids, Letter]]:
        for path in sorted(self._folder.glob("0x*.json")):
            try:
                letter = Letter.decode(path.read_bytes())
                yield call_of(letter, self._network)[0], letter
            except (BadMessage, FileNotFoundError):  # of another market, or forgotten just now
                continue

    def get(self, job: JobId) -> tuple[CallForBids, Letter] | None:
        return next((found for found in self if found[0].job == job), None)

    def _path(self, job: JobId) -> Path:
        return self._folder / f"{job}.json"
