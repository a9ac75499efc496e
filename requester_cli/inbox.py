"""Letters about a job, kept: a mailbox may be lost."""

from contextlib import suppress
from hashlib import sha256

from heldout.market.errors import BadMessage
from heldout.market.journal import Journal
from heldout.market.mail import Mail
from heldout.market.messages import BULLETIN, Letter
from heldout.market.terms import JobId


class Inbox:
    def __init__(self, mail: Mail, journal: Journal) -> None:
        self._mail, self._journal = mail, journal

    def about(self, job: JobId) -> list[Letter]:
        """Every letter that ever came, bids included. Raises ChainProblem, JournalUnwritable."""
        for letter in self._mail.fetch(job):
            if letter.receiver != BULLETIN:
                data = letter.encode()
                self._journal.put(f"mail:{job}:{sha256(data).hexdigest()[:32]}", {"letter": data.hex()})
        kept = []
        for _, row in self._journal.items(f"mail:{job}:"):
            with suppress(BadMessage):  # kept by an older version of this program
                kept.append(Letter.decode(bytes.fromhex(row["letter"])))
        return [*kept, *self._mail.bids(job)]
