"""Calls for bids as this node hears of them (P2.5): each is a job in the book, open until the call is over.

Whoever carries a call is believed in nothing: its terms' requester signed it, and the chain does not have the job yet.
A call that this node has judged stands in its record, so that after a restart nobody needs to tell of it again.
"""

import logging
from hashlib import sha256

from heldout.market.calling import CallForBids, call_of, is_called
from heldout.market.chain import Block, Chain
from heldout.market.errors import BadMessage, Reverted
from heldout.market.lifecycle import JobState, State
from heldout.market.mail import Mail
from heldout.market.messages import Letter
from heldout.market.terms import JobId
from heldout.provider.book import Book
from heldout.provider.record import Record, Records

log = logging.getLogger(__name__)


class Calls:
    """Of one node. Not for two threads."""

    def __init__(self, chain: Chain, mail: Mail, book: Book) -> None:
        self._chain, self._mail, self._book = chain, mail, book
        self._read: dict[bytes, CallForBids | None] = {}
        """By the letter's hash; None: of no concern."""
        self._letters: dict[JobId, Letter] = {}

    def restore(self, records: Records) -> None:
        """After a restart, before the book is read: the calls that this node judged and that have not ended for it."""
        for record in records:
            if record.call and not record.done:
                try:
                    call, _ = call_of(Letter.decode(bytes.fromhex(record.call)), self._chain.network)
                except BadMessage as problem:
                    log.warning("job %s: the call in the journal is of another market: %s", record.job, problem.message)
                    continue
                self._book.call(call.as_job(record.posted))

    def tend(self, head: Block) -> None:
        """Enter the calls that stand at `head`, to which the book was read, and end those that are over."""
        letters = {sha256(letter.encode()).digest(): letter for letter in self._mail.calls(head.timestamp)}
        self._read = {key: call for key, call in self._read.items() if key in letters}
        for key, letter in letters.items():
            if key not in self._read:
                self._read[key] = self._verified(letter)
            call = self._read[key]
            if call is None or not call.holds(head.timestamp):
                continue
            if call.job not in self._book.jobs and self._chain.job(call.job, at=head).state is not State.NONE:
                self._read[key] = None  # it went its way before this book begins, or was forgotten since
                continue
            if self._book.call(call.as_job(head.number)):
                self._letters[call.job] = letter
        for job in self._book.end_calls(head):
            self._letters.pop(job, None)

    def noted(self, mine: Record) -> Record:
        """The record with the call that it follows."""
        letter = self._letters.get(mine.job)
        return mine.but(call=letter.encode().hex()) if letter else mine

    def refusal(self, job: JobState, head: Block) -> str | None:
        """Why the market would not take a job that is called for, were it posted now; None if it would."""
        if not is_called(job):
            return None
        try:
            self._chain.try_post(job.terms, at=head)
        except Reverted as refused:
            return refused.message
        return None

    def _verified(self, letter: Letter) -> CallForBids | None:
        network = self._chain.network
        try:
            call, signature = call_of(letter, network)
        except BadMessage:
            return None
        digest = call.digest(network.chain_id, network.market)
        return call if self._chain.verify_signature(call.terms.requester, digest, signature) else None
