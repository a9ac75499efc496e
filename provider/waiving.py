"""Signing away the challenge of a lane that is paid well enough, and posting what everybody signed (P6.1)."""

import logging
from hashlib import sha256

from heldout.market.chain import Block
from heldout.market.errors import HeldoutError
from heldout.market.foreseen import Foreseen, Openings
from heldout.market.lifecycle import JobState, State
from heldout.market.messages import Letter
from heldout.market.relayed import Waiver
from heldout.market.terms import Address, BlockNumber, JobId, Timestamp
from heldout.market.waiving import Waivers, consent_to
from heldout.provider.duties import NEVER_WAIVE, View
from heldout.provider.record import Record
from heldout.provider.tools import Tools

log = logging.getLogger(__name__)


class Waiving:
    """Two steps, each safe to take twice, and what has come for them."""

    def __init__(self, tools: Tools, chain_id: int, market: str) -> None:
        self._tools = tools
        self._waivers = Waivers(tools.chain, chain_id, market)
        self._openings = Openings(chain_id, market)
        self._unposted: dict[JobId, Foreseen] = {}
        self._whole: dict[tuple[JobId, int], Timestamp] = {}
        self._told: set[JobId] = set()

    def receive(self, letter: Letter) -> None:
        """What is neither waiver nor opening is dropped."""
        self._waivers.keep(letter)
        self._openings.keep(letter)

    def foresee(self, job: JobState) -> Foreseen | None:
        """What comes of the openings that are here."""
        foreseen = self._openings.foresee(job) if self._tools.config.waive_at < NEVER_WAIVE else None
        if foreseen:
            self._unposted[job.id] = foreseen
        else:
            self._unposted.pop(job.id, None)
        return foreseen

    def whole_since(self, job: JobState, head: Block) -> Timestamp | None:
        """When everybody's signature was first seen here; None while one is lacking. Raises ChainProblem."""
        waiver = self._standing(job, head.number) if job.state is State.SCORED else None
        if waiver is None or self._waivers.signatures(job, waiver) is None:
            return None
        return self._whole.setdefault((job.id, job.round), Timestamp(head.timestamp))

    def waive(self, view: View, mine: Record) -> Record:
        """To the requester and the other providers. A service that is down keeps nobody's money: the challenge ends."""
        waiver = self._standing(view.job, view.head)
        if waiver is None:
            return mine
        job = view.job
        for receiver in dict.fromkeys((job.terms.requester, *(lane.provider for lane in job.lanes))):
            letter = self._tools.deliveries.waiver(waiver, receiver)
            self._waivers.keep(letter)
            self._send(letter, view.me)
        if job.id not in self._told:
            self._told.add(job.id)
            log.info("job %s  waived  nothing to appeal in round %d", job.id, waiver.round)
        return mine

    def conclude(self, view: View, mine: Record) -> Record:
        """Settles at once, with every waiver."""
        waiver, foreseen = self._standing(view.job, view.head), self._unposted.get(view.job.id)
        signatures = self._waivers.to_post(view.job, waiver, view.me) if waiver else None
        if signatures is not None:
            openings = foreseen.as_tuples() if foreseen else []
            name = sha256(repr((openings, signatures)).encode()).hexdigest()[:16]
            terms = view.job.terms.as_tuple()
            self._tools.outbox.send(f"conclude:{view.job.id}:{name}", "conclude", terms, openings, signatures)
        return mine

    def forget(self, job: JobId) -> None:
        self._waivers.forget(job)
        self._openings.forget(job)
        self._told.discard(job)
        self._whole = {key: since for key, since in self._whole.items() if key[0] != job}

    def _standing(self, job: JobState, head: BlockNumber) -> Waiver | None:
        """Of the result as the chain held it where the decision was made, silence of either side included."""
        return consent_to(job, self._tools.chain.job(job.id, at=head))

    def _send(self, letter: Letter, me: Address) -> None:
        if letter.receiver == me:
            return
        try:
            self._tools.mail.send(letter)
        except HeldoutError as problem:
            log.debug("job %s: no waiver to %s: %s", letter.job, letter.receiver, problem.message)
