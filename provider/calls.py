"""Calls for bids as this node hears of them (P2.5): each is a job in the book, open until the call is over.

Whoever carries a call is believed in nothing: its terms' requester signed it, and the chain does not have the job yet.
A call that this node has judged stands in its record, so that after a restart nobody needs to tell of it again.
"""

import logging
from typing import Final

from heldout.market.calling import CallForBids, call_of, is_called
from heldout.market.chain import Block, Chain
from heldout.market.errors import BadMessage, ChainProblem, HeldoutError, Reverted
from heldout.market.lifecycle import JobState
from heldout.market.mail import Mail
from heldout.market.messages import Letter
from heldout.market.terms import BlockNumber, JobId
from heldout.provider.book import Book
from heldout.provider.record import Record, Records

log = logging.getLogger(__name__)

MOST_CALLS: Final = 64
MOST_OF_ONE: Final = 8
"""That stand at a time, of all and of one requester; the others wait."""
MOST_READ: Final = 32
"""Letters whose signatures are checked in one cycle."""
ASK_AGAIN: Final = 8
"""Blocks."""


class Calls:
    """Of one node. Not for two threads."""

    def __init__(self, chain: Chain, mail: Mail, book: Book) -> None:
        self._chain, self._mail, self._book = chain, mail, book
        self._read: dict[bytes, CallForBids] = {}
        """By the letter's hash, signed by their requesters."""
        self._letters: dict[JobId, Letter] = {}
        self._asked: dict[JobId, BlockNumber] = {}
        """When the market was asked whether it would take a job; not again for a while."""

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
        letters = self._mail.calls(head.timestamp)
        self._read = {key: call for key, call in self._read.items() if key in letters}
        self._asked = {job: block for job, block in self._asked.items() if head.number < block + ASK_AGAIN}
        for key in [key for key in letters if key not in self._read][:MOST_READ]:
            if call := self._verified(letters[key]):
                self._read[key] = call
            else:
                self._mail.drop_call(key)
        for key, call in list(self._read.items()):
            try:
                if call.holds(head.timestamp) and self._is_admitted(call, head):
                    self._book.call(call.as_job(head.number))
                    self._letters[call.job] = letters[key]
            except ChainProblem:
                raise
            except HeldoutError as problem:  # one stranger's letter never costs this node its other jobs
                log.warning("job %s: its call for bids is passed over: %s", call.job, problem.message)
                self._mail.drop_call(key)
        for job in self._book.end_calls(head):
            self._letters.pop(job, None)

    def _is_admitted(self, call: CallForBids, head: Block) -> bool:
        """Whether a call is news, and the market would take its job now. A stranger's announcement costs a node little,
        and leaves nothing in its journal, before that is so."""
        if call.job in self._asked or not self._book.is_news(call.as_job(head.number)):
            return False
        standing = self._book.called()
        mine = [job for job in standing if job.terms.requester.lower() == call.terms.requester.lower()]
        if len(standing) >= MOST_CALLS or len(mine) >= MOST_OF_ONE:
            return False
        self._asked[call.job] = head.number
        return self.refusal(call.as_job(head.number), head) is None

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
