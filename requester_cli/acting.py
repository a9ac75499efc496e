"""Doing one duty of a requester: a letter, a transaction, or weights on the shelf. `duties` decides, `keeper` turns."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from heldout.market.alarm import Alarm
from heldout.market.calling import is_called
from heldout.market.chain.sender import Outbox
from heldout.market.errors import ChainProblem, HeldoutError, Reverted, RpcsDisagree
from heldout.market.foreseen import Foreseen
from heldout.market.lifecycle import REQUESTER, ChainEvent, JobState
from heldout.market.messages import Letter, encode_answer
from heldout.market.posting.reuse import others_of
from heldout.market.relayed import Waiver, sign, waiver_letter
from heldout.market.terms import JobId
from heldout.market.waiving import Waivers, consent_to, willing
from heldout.requester_cli.calls import Calls
from heldout.requester_cli.duties import (
    Accept,
    Answer,
    Call,
    Conclude,
    DemandHalf,
    Duty,
    Fetch,
    Move,
    Offer,
    Recheck,
    ReleaseHeldOut,
    ReleaseTraining,
    ShowHeldOut,
    View,
    Waive,
    Waiving,
    letter_name,
    pays,
    seat_name,
)
from heldout.requester_cli.letters import Writer
from heldout.requester_cli.opening import find_parcel, open_parcel
from heldout.requester_cli.rechecking import Rechecker
from heldout.requester_cli.releasing import letter_to_seat, owed, writer_for
from heldout.requester_cli.shelf import Shelf
from heldout.requester_cli.tools import Tools, getter

log = logging.getLogger(__name__)

UNFUNDED: Final = "unfunded_call"
DATA_USED: Final = "data_used"
_RESEND_S: Final = 30
"""Letters are handed over again while they are due: a service may have lost its database."""


@dataclass(frozen=True)
class Sight:
    """A job as one cycle read it."""

    view: View
    events: Sequence[ChainEvent] = ()
    """What the job was folded from; none if it is only called for."""
    letters: Sequence[Letter] = ()
    foreseen: Foreseen | None = None

    @property
    def job(self) -> JobState:
        return self.view.job


class Acts:
    """For all jobs of one requester. What was sent is remembered here alone: after a restart it goes again."""

    def __init__(
        self, tools: Tools, alarm: Alarm, shelf: Shelf, waivers: Waivers, rechecker: Rechecker, calls: Calls | None
    ) -> None:
        self._tools, self._alarm, self._shelf = tools, alarm, shelf
        self._waivers, self._rechecker, self._calls = waivers, rechecker, calls
        self._sent: defaultdict[JobId, dict[str, int]] = defaultdict(dict)
        """When each letter was handed over last, in block time."""

    def sent(self, job: JobId, now: int) -> frozenset[str]:
        """Names of letters that need not go again yet."""
        return frozenset(name for name, at in self._sent[job].items() if now < at + _RESEND_S)

    def told(self, job: JobId) -> frozenset[str]:
        """Names of all letters that went."""
        return frozenset(self._sent[job])

    def forget(self, job: JobId) -> None:
        self._sent.pop(job, None)

    def take(self, duty: Duty, sight: Sight) -> None:
        """One duty's trouble never costs another its deadline; the next cycle tries it again. Raises ChainProblem."""
        job = sight.job
        try:
            self._do(duty, sight)
        except ChainProblem:
            raise
        except RpcsDisagree as lie:
            self._alarm.ring(lie.code, lie.message, job=job.id, deadline=job.deadline)
        except HeldoutError as problem:
            log.warning("job %s: %s: %s (%s)", job.id, type(duty).__name__, problem.message, problem.code)

    def _do(self, duty: Duty, sight: Sight) -> None:
        job = sight.job
        match duty:
            case Call(call):
                self._hand_over(sight, call, letter_name(call.kind, call.receiver))
            case Accept(offers):
                self._accept(job, offers)
            case ReleaseTraining(lane):
                letter = self._writer(job).training_keys(lane)
                self._hand_over(sight, letter, letter_name("training_keys", job.lanes[lane].provider))
            case ReleaseHeldOut(seat):
                self._release_held_out(sight, seat)
            case ShowHeldOut(lane):
                letter = self._writer(job).held_out_keys_for_lane(lane)
                name = letter_name("held_out_keys", job.lanes[lane].provider)
                self._hand_over(sight, letter, name, fallback=False)
            case Answer():
                self._answer(sight)
            case DemandHalf(lane):
                self._send(f"demand:{job.id}:{job.round}:{lane}", "demand", job.terms.as_tuple(), lane, 0)
            case Fetch(lane):
                self._fetch(sight, lane)
            case Recheck():
                paid = (lane for lane in range(len(job.lanes)) if pays(job, lane))
                found = {lane: self._shelf.find(job, lane) for lane in paid}
                self._rechecker.begin(job, {lane: weights for lane, weights in found.items() if weights is not None})
            case Waive():
                self._waive(sight)
            case Conclude():
                self._conclude(sight)
            case Move(function):
                argument = job.id if function == "close" else job.terms.as_tuple()
                self._send(f"{function}:{job.id}:{job.deadline}", function, argument)

    # -------------------------------------------------------------------------------------------- transactions

    def _send(self, intent: str, function: str, *args: Any) -> None:
        """A lost race is nobody's fault: the next cycle reads what happened instead."""
        try:
            self._tools.outbox.send(intent, function, *args)
        except Reverted as refused:
            log.info("%s was not needed or not possible: %s %s", intent, refused.message, refused.hint)

    def _accept(self, job: JobState, offers: Sequence[Offer]) -> None:
        if self._data_is_used(job) or (is_called(job) and not self._stands(job)):
            return
        bids, signatures = [offer.bid.as_tuple() for offer in offers], [offer.signature for offer in offers]
        function = "open" if is_called(job) else "accept"
        log.info("job %s: accepting %d bid(s)", job.id, len(bids))
        self._send(f"{function}:{job.id}:{_short(bids)}", function, job.terms.as_tuple(), bids, signatures)

    def _data_is_used(self, job: JobState) -> bool:
        """Whether another job's providers get shards of this one: two splits of the same data hold out nothing."""
        tools, calls = self._tools, self._calls or ()
        posted = dict(others_of(tools.chain, job.id, job.terms, tools.chain.head()))
        called = [call.job for call, _ in calls if call.terms.dataRoot == job.terms.dataRoot and call.job != job.id]
        used = [other for other, view in posted.items() if view.accept_block]
        used += [other for other in (*posted, *called) if is_taking(tools.outbox, other)]
        if used:
            text = f"no bid is taken: job {used[0]} uses the same sealed data; `heldout job cancel` takes this one back"
            self._alarm.ring(DATA_USED, text, job=job.id, deadline=job.deadline)
        else:
            self._alarm.clear(DATA_USED, job=job.id)
        return bool(used)

    def _stands(self, job: JobState) -> bool:
        """Whether the call is still there, and so is its money."""
        if self._calls is None or self._calls.get(job.id) is None:  # taken back while this cycle read
            return False
        try:
            self._tools.chain.try_post(job.terms)
        except Reverted as refused:
            text = f"there are bids, but the market would not take the job: {refused.message}"
            self._alarm.ring(UNFUNDED, text, job=job.id, deadline=job.deadline)
            return False
        self._alarm.clear(UNFUNDED, job=job.id)
        return True

    def _answer(self, sight: Sight) -> None:
        job = sight.job
        self._confirm(sight)
        letters = encode_answer(owed(self._tools.chain, self._tools.keys, job))
        intent = f"answer:{job.id}:{job.state.name}:{job.round}"
        self._send(intent, "answer", job.terms.as_tuple(), REQUESTER, letters)

    def _conclude(self, sight: Sight) -> None:
        job, waiver = sight.job, self._consent(sight)
        signatures = self._waivers.to_post(job, waiver, self._tools.keys.address) if waiver else None
        if signatures is not None:
            openings = sight.foreseen.as_tuples() if sight.foreseen else []
            name = _short((openings, signatures))
            self._send(f"conclude:{job.id}:{name}", "conclude", job.terms.as_tuple(), openings, signatures)

    # ------------------------------------------------------------------------------------------------- letters

    def _writer(self, job: JobState) -> Writer:
        return writer_for(self._tools.chain, self._tools.keys, job)

    def _hand_over(self, sight: Sight, letter: Letter, name: str, *, fallback: bool = True) -> None:
        """Without `fallback` it is a courtesy: if the service does not take it, whoever needs it can demand it."""
        job = sight.job
        if not is_called(job):
            self._confirm(sight)
        try:
            self._tools.mail.send(letter, fallback=fallback)
        except HeldoutError as problem:
            if fallback:
                raise
            log.debug("job %s: %s not delivered: %s", job.id, letter.kind, problem.message)
        if name not in self._sent[job.id]:
            log.info("job %s: %s to %s", job.id, letter.kind.value.replace("_", " "), letter.receiver)
        self._sent[job.id][name] = sight.view.now

    def _confirm(self, sight: Sight) -> None:
        """Threat 32: no secret leaves on the word of one RPC that others contradict. Raises RpcsDisagree."""
        self._tools.chain.confirm_events(sight.job.id, sight.events, sight.view.head)
        self._alarm.clear(RpcsDisagree.code, job=sight.job.id)

    def _release_held_out(self, sight: Sight, seat: int) -> None:
        letter = letter_to_seat(self._tools.chain, self._writer(sight.job), seat)
        if letter is not None:
            letter = willing(letter, sight.view.policy.waiving is not Waiving.NEVER)
            self._hand_over(sight, letter, letter_name("held_out_keys", seat_name(seat)))

    def _waive(self, sight: Sight) -> None:
        """Of what was decided on: if the chain goes on or turns back, the signature is worth nothing (P6.1)."""
        tools, job, waiver = self._tools, sight.job, self._consent(sight)
        if waiver is None:
            return
        network = tools.chain.network
        signature = sign(tools.keys.account, waiver.digest(network.chain_id, network.market))
        for provider in dict.fromkeys(lane.provider for lane in job.lanes):
            letter = waiver_letter(waiver, signature, tools.keys.address, provider)
            self._waivers.keep(letter)
            self._hand_over(sight, letter, letter_name(f"waiver {waiver.round}", provider), fallback=False)

    def _consent(self, sight: Sight) -> Waiver | None:
        return consent_to(sight.job, self._tools.chain.job(sight.job.id, at=sight.view.head))

    # ------------------------------------------------------------------------------------------------- weights

    def _fetch(self, sight: Sight, lane: int) -> None:
        job = sight.job
        parcel = find_parcel(self._tools.keys, job, lane, sight.letters) if job.lanes[lane].word else None
        if parcel is None:
            return
        weights = open_parcel(parcel, job, getter(self._tools.stores))
        path = self._shelf.keep(job.id, lane, parcel.submission, weights)
        log.info("job %s: weights of lane %d are in %s", job.id, lane, path)


def is_taking(outbox: Outbox, job: JobId) -> bool:
    """Whether a transaction that takes bids for a job is under way: it may be mined whatever is decided now."""
    taking = (f"accept:{job}:", f"open:{job}:")
    return any(pending.intent.startswith(taking) for pending in outbox.pending)


def _short(what: object) -> str:
    """A name for an intent: the same transaction again is the same intent."""
    return sha256(repr(what).encode()).hexdigest()[:16]
