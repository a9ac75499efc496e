"""The word on chain, and after it the letters that prove it: to the requester, to each round's seats (P4.3 to P4.5).

Letters are handed to the mail in every cycle in which they are owed; it sends them again now and then, since a service
may lose what it was given.
"""

import logging

from heldout.market.chain.fees import Urgency
from heldout.market.errors import HeldoutError, Reverted
from heldout.market.lifecycle import State
from heldout.market.messages import NO_KEYS, Letter, encode_answer
from heldout.market.terms import JobId
from heldout.market.waiving import willing
from heldout.provider.duties import NEVER_WAIVE, View, is_paid
from heldout.provider.record import Record
from heldout.provider.tools import Tools, job_bytes

log = logging.getLogger(__name__)


class Delivering:
    """Each method takes one step and returns the record after it; each is safe to take twice."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._made: dict[tuple[JobId, int], list[Letter]] = {}

    def forget(self, job: JobId) -> None:
        for key in [key for key in self._made if key[0] == job]:
            del self._made[key]

    def submit(self, view: View, mine: Record) -> Record:
        """P4.4: the word that commits to weights, halves and envelope."""
        assert mine.sealed is not None
        self._send_word(view, mine.sealed.submission.word(job_bytes(view.job.id), view.me))
        return mine

    def submit_no_keys(self, view: View, mine: Record) -> Record:
        """P4.5: the word that says the answered training envelope does not open."""
        self._send_word(view, NO_KEYS)
        return mine

    def _send_word(self, view: View, word: bytes) -> None:
        """One intent for a lane's word: the outbox refuses a second, different one under the same name."""
        self._tools.reach("submit.before")
        intent = f"submit:{view.job.id}:{view.lane}"
        self._tools.outbox.send(intent, "submit", view.job.id, view.lane, word, urgency=Urgency.SUBMIT)
        self._tools.reach("submit.sent")

    def tell_requester(self, view: View, mine: Record) -> Record:
        """The preimage of the word, with half a."""
        assert mine.sealed is not None and view.lane is not None
        self._send(self._tools.deliveries.to_requester(view.job.id, view.lane, view.job.terms, mine.sealed))
        if not mine.requester_told:
            self._publish_run(mine)
            log.info("job %s  submitted  weights %s", view.job.id, mine.sealed.weights_hash)
        return self._tools.records.keep(mine.but(requester_told=True))

    def deliver(self, view: View, mine: Record) -> Record:
        """What opens the weights, to the seats of the present round."""
        letters, round_ = self._to_seats(view, mine), view.job.round
        if letters is None:
            return mine
        self._confirm(view)
        for letter in letters:
            self._send(willing(letter, self._tools.config.waive_at < NEVER_WAIVE))
        if round_ in mine.delivered:
            return mine
        log.info("job %s  round %d: what opens the weights is sent to %d keys", view.job.id, round_, len(letters))
        self._tools.reach("delivered")
        return self._tools.records.keep(mine.but(delivered=(*mine.delivered, round_)))

    def give_half(self, view: View, mine: Record) -> Record:
        """P4.4: half b of a paid lane, to the requester."""
        assert mine.sealed is not None and view.lane is not None
        self._confirm(view)
        self._send(self._tools.deliveries.half(view.job.id, view.lane, view.job.terms, mine.sealed))
        if mine.half_given:
            return mine
        self._publish_run(mine)
        log.info("job %s  paid lane: half b is sent to the requester", view.job.id)
        self._tools.reach("half.sent")
        return self._tools.records.keep(mine.but(half_given=True))

    def _confirm(self, view: View) -> None:
        """Threat 32: no secret leaves on the word of one RPC that others contradict."""
        self._tools.chain.confirm_events(view.job.id, view.events, view.head)

    def answer(self, view: View, mine: Record) -> Record:
        """P4.5: what was demanded, in calldata. A lane that owes nothing answers too: silence would cost it."""
        job, letters = view.job, self._owed(view, mine)
        if letters is None:
            return mine
        self._confirm(view)
        log.warning("job %s: answering a demand on chain with %d letters", job.id, len(letters))
        intent = f"answer:{job.id}:{job.state.name}:{job.round}"
        answer = (job.terms.as_tuple(), view.lane, encode_answer(letters))
        self._tools.outbox.send(intent, "answer", *answer, urgency=Urgency.SUBMIT)
        return mine

    def _owed(self, view: View, mine: Record) -> list[Letter] | None:
        """None while secrets should not leave yet, because the chain may still turn back."""
        job, lane = view.job, view.lane
        assert lane is not None
        if mine.sealed is None:
            return []
        if job.state is State.COMMITTING:
            return self._to_seats(view, mine)
        if not is_paid(job, lane):
            return []
        return [self._tools.deliveries.half(job.id, lane, job.terms, mine.sealed)] if view.deep else None

    def _to_seats(self, view: View, mine: Record) -> list[Letter] | None:
        """Letters to this round's seats; None until the seed block is so deep that the draw will stand."""
        job, chain = view.job, self._tools.chain
        assert mine.sealed is not None and view.lane is not None
        known = self._made.get((job.id, job.round))
        if known is not None:
            return known
        if view.head < chain.job(job.id).seed_block + view.confirmations:
            return None
        try:
            drawn = chain.agreed(lambda each: each.drawn(job.id))
        except Reverted as early:
            log.debug("job %s: no committee yet: %s", job.id, early.message)
            return None
        letters = self._tools.deliveries.to_seats(job.id, view.lane, job.round, mine.sealed, drawn.values())
        self._made[job.id, job.round] = letters
        return letters

    def _publish_run(self, mine: Record) -> None:
        """For people to read, so worth no gas and no delay: tried when the word is told, and when the lane is paid."""
        if mine.run is None:
            return
        try:
            self._tools.mail.send(self._tools.deliveries.run_record(mine.run))
        except HeldoutError as problem:
            log.info("job %s: nobody took the run record: %s", mine.job, problem.message)

    def _send(self, letter: Letter) -> None:
        self._tools.mail.send(letter, fallback=True)
