"""Signing an outcome that the requester proposes, if the operator's policy allows any (P6.1). Off by default."""

import logging

from heldout.market.agreeing import objection, outcome_of
from heldout.market.errors import BadMessage, HeldoutError
from heldout.market.lifecycle import JobState
from heldout.market.messages import AgreedOutcome, Letter
from heldout.market.terms import JobId
from heldout.provider.duties import NEVER_WAIVE, View
from heldout.provider.record import Record
from heldout.provider.tools import Tools

log = logging.getLogger(__name__)


class Agreeing:
    """The latest proposal for each job. In memory: a restarted node reads its mailbox anew."""

    def __init__(self, tools: Tools, chain_id: int, market: str) -> None:
        self._tools, self._chain_id, self._market = tools, chain_id, market
        self._proposals: dict[JobId, tuple[AgreedOutcome, bytes]] = {}
        self._refused: dict[JobId, str] = {}

    def receive(self, letter: Letter) -> None:
        """From the requester; what is no outcome is dropped."""
        try:
            self._proposals[letter.job] = outcome_of(letter)
        except BadMessage as problem:
            log.debug("job %s: %s", letter.job, problem.message)

    def is_proposed(self, job: JobState) -> bool:
        return self._tools.config.agree_at < NEVER_WAIVE and job.id in self._proposals and not job.final

    def agree(self, view: View, mine: Record) -> Record:
        """Sign and send back, or say once why not."""
        job, lane = view.job, view.lane
        assert lane is not None
        outcome, signature = self._proposals[job.id]
        wrong = objection(job, lane, outcome, self._tools.config.agree_at, view.now)
        digest = outcome.digest(self._chain_id, self._market)
        if not wrong and not self._tools.chain.verify_signature(job.terms.requester, digest, signature):
            wrong = "its requester has not signed it"
        if wrong:
            if self._refused.get(job.id) != wrong:
                log.info("job %s  not agreed  %s", job.id, wrong)
            self._refused[job.id] = wrong
            return mine
        try:
            self._tools.mail.send(self._tools.deliveries.outcome(outcome, job.terms.requester))
        except HeldoutError as problem:
            log.debug("job %s: no consent sent: %s", job.id, problem.message)
        return mine

    def forget(self, job: JobId) -> None:
        self._proposals.pop(job, None)
        self._refused.pop(job, None)
