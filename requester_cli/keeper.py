"""Doing what `duties` decides, job after job: the requester as a daemon (`heldout requester run`, `job watch`).

It keeps nothing that cannot be found again: jobs, splits, committees and demands are read from the chain, calls for
bids from the home directory (requester_cli/calls.py), keys and envelopes are derived from the key ring. The journal
guards transactions and keeps letters that a mailbox may lose, so kill -9 at any point, or a lost disk with a backup of
the keys, loses nothing.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

from heldout.market.alarm import Alarm
from heldout.market.artifacts import Stores, artifact_id
from heldout.market.calling import CallForBids, is_called
from heldout.market.chain import Block, Chain, JobView, connect
from heldout.market.chain.sender import Outbox
from heldout.market.daemon import Isolation
from heldout.market.errors import BadMessage, ChainProblem, HeldoutError, Reverted, RpcsDisagree
from heldout.market.foreseen import Foreseen, Openings
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import REQUESTER, ChainEvent, JobState, State, fold
from heldout.market.mail import Mail
from heldout.market.messages import BULLETIN, Letter, encode_answer
from heldout.market.relayed import Waiver, sign, waiver_letter
from heldout.market.terms import BlockNumber, JobId
from heldout.market.waiving import Waivers, consent_to, willing
from heldout.requester_cli.bids import valid_offers
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
    Policy,
    Recheck,
    ReleaseHeldOut,
    ReleaseTraining,
    ShowHeldOut,
    View,
    Waive,
    Waiving,
    duties,
    is_done,
    letter_name,
    pays,
    risks,
    seat_name,
)
from heldout.requester_cli.letters import Writer
from heldout.requester_cli.opening import Parcel, find_parcel, open_parcel
from heldout.requester_cli.rechecking import Rechecker
from heldout.requester_cli.releasing import drawn_seats, letter_to_seat, owed, writer_for
from heldout.requester_cli.shelf import Shelf
from heldout.requester_cli.verifying import Check, verify

log = logging.getLogger(__name__)

_REORG_MARGIN = 64
"""Blocks looked through again, so that a `Posted` that a reorg moved, or an end that it took back, is not missed."""
_RESEND_S = 30
"""Letters are handed over again while they are due: a service may have lost its database."""
_RISKS = ("demanded", "release_at_risk", "no_bids", "half_key_missing")
_DIFFERS = "score_differs"
_UNFUNDED = "unfunded_call"


@dataclass(frozen=True)
class Tools:
    """What a keeper works with: one requester's side of one market."""

    chain: Chain
    keys: KeyRing
    stores: Stores
    mail: Mail
    outbox: Outbox
    journal: Journal


class Keeper:
    """Looks after all of a requester's jobs, or only those in `only`. Weights go to the shelf."""

    def __init__(
        self,
        tools: Tools,
        alarm: Alarm,
        shelf: Shelf,
        calls: Calls | None = None,
        *,
        policy: Policy | None = None,
        only: Collection[JobId] = (),
    ) -> None:
        self._tools = tools
        self._calls = calls
        self._alarm = alarm
        self._shelf = shelf
        self._policy = policy or Policy()
        self._only = frozenset(only)
        self._isolation = Isolation(alarm)
        self._posted: dict[JobId, BlockNumber] = {}
        self._called: set[JobId] = set()
        self._over: set[JobId] = set()
        """Called for in vain, or till the call was taken back."""
        self._scanned = tools.chain.network.deploy_block
        self._seen: dict[JobId, View] = {}
        self._events: dict[JobId, list[ChainEvent]] = {}
        """What each job was folded from, in the last cycle."""
        self._sent: defaultdict[JobId, dict[str, int]] = defaultdict(dict)
        """When each letter was handed over last, in block time."""
        self._now, self._head = 0, BlockNumber(0)
        network = tools.chain.network
        self._waivers = Waivers(tools.chain, network.chain_id, network.market)
        self._openings = Openings(network.chain_id, network.market)
        self._foreseen: dict[JobId, Foreseen] = {}
        self._rechecker = Rechecker(partial(_measured_again, tools))

    # ----------------------------------------------------------------------------------------------- one cycle

    def step(self, head: Block) -> None:
        """Read at `head`, decide, act, for each job that is not done."""
        self._now, self._head = head.timestamp, head.number
        self._tools.outbox.poll()
        self._find_jobs(head)
        for call, letter in self._find_calls():
            self._isolation.run(call.job, partial(self._tend_call, call, letter, head))
        for job in list(self._posted):
            self._isolation.run(job, partial(self._turn, job, head))

    @property
    def active(self) -> list[JobId]:
        """Jobs in which something may still be due, in the order they were posted."""
        return [job for job in self._posted if not self.is_done(job)]

    def is_done(self, job: JobId) -> bool:
        """Whether nothing will ever be due again for a job: it has ended, or the call for it has."""
        return job in self._over or self._tools.journal.get(f"done:{job}") is not None

    def is_nowhere(self, job: JobId, head: Block) -> bool:
        """Whether a job is neither on chain, nor was since this process began, nor called for: another process may have
        ended its call."""
        if job in self._posted or job in self._called or job in self._seen:
            return False
        return self._tools.chain.job(job, at=head).state is State.NONE

    def last_view(self, job: JobId) -> View | None:
        """What the last cycle saw of a job."""
        return self._seen.get(job)

    def _find_jobs(self, head: Block) -> None:
        first = max(self._tools.chain.network.deploy_block, self._scanned - _REORG_MARGIN)
        for event in self._tools.chain.events(first, head.number, names=["Posted"]):
            mine = str(event.args["requester"]).lower() == self._tools.keys.address.lower()
            if mine and event.job and (not self._only or event.job in self._only):
                self._posted[event.job] = event.block
        self._scanned = head.number

    def _turn(self, job: JobId, head: Block) -> None:
        if not self._is_over(job, head):
            self._tend(job, head)

    def _is_over(self, job: JobId, head: Block) -> bool:
        """A reorg deeper than the network's confirmations may take back the end of a job that is done: it goes on."""
        done = self._tools.journal.get(f"done:{job}")
        if done is None:
            return False
        if head.number >= done.get("block", 0) + _REORG_MARGIN:
            return True
        if self._tools.chain.job(job, at=head).state is State.SETTLED:
            return True
        log.warning("job %s: the chain took back its end", job)
        self._tools.journal.delete(f"done:{job}")
        return False

    def _find_calls(self) -> list[tuple[CallForBids, Letter]]:
        found = [pair for pair in self._calls or () if not self._only or pair[0].job in self._only]
        standing = {call.job for call, _ in found} | {job for job in self._called if self._is_taking(job)}
        gone = self._called - standing - self._posted.keys()
        for job in gone:
            self._clear(job)
        self._over = (self._over | gone) - standing - self._posted.keys()
        self._called = standing
        return found

    def _is_taking(self, job: JobId) -> bool:
        """Whether a transaction that takes bids for a job is under way: it may be mined whatever is decided now."""
        taking = (f"accept:{job}:", f"open:{job}:")
        return any(pending.intent.startswith(taking) for pending in self._tools.outbox.pending)

    def _tend(self, job: JobId, head: Block) -> None:
        view = self.look(job, head)
        if view is None:
            self._posted.pop(job)  # a reorg took it back; it is found again if it is posted again
            return
        self._seen[job] = view
        self._ring(view)
        for duty in duties(view):
            self._try(view.job, duty)
        if is_done(view):
            self._tools.journal.put(f"done:{job}", {"outcome": view.job.outcome.name, "block": view.changed})
            self._waivers.forget(job)
            self._openings.forget(job)
            self._events.pop(job, None)
            log.info("job %s is done: %s", job, view.job.outcome.name.lower())

    def _tend_call(self, call: CallForBids, letter: Letter, head: Block) -> None:
        """A job that is only called for: as an open one, but that taking bids is what posts it."""
        if call.job in self._posted:
            if head.number >= self._posted[call.job] + self._tools.chain.network.confirmations:
                self._end_call(call.job)
            return
        if head.timestamp >= call.until:
            log.info("job %s: the call is over and nobody was accepted; nothing was locked", call.job)
            self._end_call(call.job)
            return
        job = call.as_job(head.number)
        view = View(
            job=job,
            changed=head.number,
            head=head.number,
            now=head.timestamp,
            confirmations=self._tools.chain.network.confirmations,
            stage_start=job.posted.timestamp,
            seed_block=BlockNumber(0),
            offers=self._offers(job, self._tools.mail.bids(job.id), head),
            policy=self._policy,
        )
        self._seen[job.id] = view
        self._ring(view)
        for duty in (Call(letter), *duties(view)):
            self._try(job, duty)

    def _end_call(self, job: JobId) -> None:
        assert self._calls is not None
        self._calls.forget(job)

    def _stands(self, job: JobState) -> bool:
        """Whether the call is still there, and so is its money."""
        if self._calls is None or self._calls.get(job.id) is None:  # taken back while this cycle read
            return False
        try:
            self._tools.chain.try_post(job.terms)
        except Reverted as refused:
            text = f"there are bids, but the market would not take the job: {refused.message}"
            self._alarm.ring(_UNFUNDED, text, job=job.id, deadline=job.deadline)
            return False
        self._alarm.clear(_UNFUNDED, job=job.id)
        return True

    def _ring(self, view: View) -> None:
        now = {} if view.foreseen else {risk.code: risk.message for risk in risks(view)}
        if view.job.state is State.SCORED and (differs := self._rechecker.difference(view.job)):
            now[_DIFFERS] = f"{differs}: the result is not waived; `heldout job appeal` calls a bigger committee"
        for code in (*_RISKS, _DIFFERS):
            if code in now:
                self._alarm.ring(code, now[code], job=view.job.id, deadline=view.job.deadline)
            else:
                self._alarm.clear(code, job=view.job.id)

    def _clear(self, job: JobId) -> None:
        for code in (*_RISKS, _UNFUNDED):
            self._alarm.clear(code, job=job)

    # ------------------------------------------------------------------------------------------------- reading

    def look(self, job: JobId, head: Block) -> View | None:
        """Everything a decision depends on, at one block. None if the chain has no such job."""
        chain = self._tools.chain
        events = chain.events(self._posted[job], head.number, job=job)
        state = fold(events).get(job)
        if state is None:
            return None
        stored, self._events[job] = chain.job(job, at=head), events
        letters = self._letters(job)
        for letter in letters:
            self._waivers.keep(letter)
            self._openings.keep(letter)
        if foreseen := self._foresee(state, events[-1].block, head):
            state, self._foreseen[job] = foreseen.job, foreseen
        else:
            self._foreseen.pop(job, None)
        return View(
            job=state,
            changed=events[-1].block,
            head=head.number,
            now=head.timestamp,
            confirmations=chain.network.confirmations,
            stage_start=stored.stage_start,
            seed_block=stored.seed_block,
            offers=self._offers(state, letters, head),
            seats=drawn_seats(chain, state, stored, head),
            sent=frozenset(name for name, at in self._sent[job].items() if head.timestamp < at + _RESEND_S),
            complete=frozenset(i for i in range(len(state.lanes)) if self._parcel(state, i, letters)),
            fetched=frozenset(i for i in range(len(state.lanes)) if self._shelf.path(job, i).exists()),
            rechecked=self._rechecker.agrees(state),
            all_waived=self._all_waived(state, stored) is not None,
            foreseen=foreseen is not None,
            policy=self._policy,
        )

    def _offers(self, job: JobState, letters: list[Letter], head: Block) -> tuple[Offer, ...]:
        if job.state is not State.OPEN or self._is_taking(job.id):
            return ()
        return valid_offers(self._tools.chain, letters, job, head)

    def _letters(self, job: JobId) -> list[Letter]:
        """Every letter about a job that ever came: those for me are kept, since a mailbox may be lost."""
        journal, mail = self._tools.journal, self._tools.mail
        for letter in mail.fetch(job):
            if letter.receiver != BULLETIN:
                data = letter.encode()
                journal.put(f"mail:{job}:{sha256(data).hexdigest()[:32]}", {"letter": data.hex()})
        kept = []
        for _, row in journal.items(f"mail:{job}:"):
            with suppress(BadMessage):  # kept by an older version of this program
                kept.append(Letter.decode(bytes.fromhex(row["letter"])))
        return [*kept, *mail.bids(job)]

    def _foresee(self, job: JobState, changed: BlockNumber, head: Block) -> Foreseen | None:
        """What comes of the openings that are here, once the commits are deep."""
        deep = head.number >= changed + self._tools.chain.network.confirmations
        return self._openings.foresee(job) if deep and self._policy.waiving is not Waiving.NEVER else None

    def _all_waived(self, job: JobState, stored: JobView) -> tuple[bytes, ...] | None:
        if job.state is not State.SCORED or self._policy.waiving is Waiving.NEVER:
            return None
        waiver = consent_to(job, stored)
        return self._waivers.signatures(job, waiver) if waiver else None

    def _parcel(self, job: JobState, lane: int, letters: list[Letter]) -> Parcel | None:
        return find_parcel(self._tools.keys, job, lane, letters) if job.lanes[lane].word else None

    # -------------------------------------------------------------------------------------------------- acting

    def _try(self, job: JobState, duty: Duty) -> None:
        """One duty's trouble never costs another its deadline; the next cycle tries it again."""
        try:
            self._do(job, duty)
        except ChainProblem:
            raise
        except RpcsDisagree as lie:
            self._alarm.ring(lie.code, lie.message, job=job.id, deadline=job.deadline)
        except HeldoutError as problem:
            log.warning("job %s: %s: %s (%s)", job.id, type(duty).__name__, problem.message, problem.code)

    def _do(self, job: JobState, duty: Duty) -> None:
        match duty:
            case Call(call):
                self._hand_over(job, call, letter_name(call.kind, call.receiver))
            case Accept(offers):
                bids = [offer.bid.as_tuple() for offer in offers]
                name = sha256(repr(bids).encode()).hexdigest()[:16]
                signatures = [offer.signature for offer in offers]
                function = "open" if is_called(job) else "accept"
                if is_called(job) and not self._stands(job):
                    return
                log.info("job %s: accepting %d bid(s)", job.id, len(bids))
                self._send(f"{function}:{job.id}:{name}", function, job.terms.as_tuple(), bids, signatures)
            case ReleaseTraining(lane):
                provider = job.lanes[lane].provider
                self._hand_over(job, self._writer(job).training_keys(lane), letter_name("training_keys", provider))
            case ReleaseHeldOut(seat):
                if letter := letter_to_seat(self._tools.chain, self._writer(job), seat):
                    letter = willing(letter, self._policy.waiving is not Waiving.NEVER)
                    self._hand_over(job, letter, letter_name("held_out_keys", seat_name(seat)))
            case ShowHeldOut(lane):
                provider = job.lanes[lane].provider
                letter = self._writer(job).held_out_keys_for_lane(lane)
                self._hand_over(job, letter, letter_name("held_out_keys", provider), fallback=False)
            case Answer():
                self._confirm(job)
                intent = f"answer:{job.id}:{job.state.name}:{job.round}"
                letters = encode_answer(owed(self._tools.chain, self._tools.keys, job))
                self._send(intent, "answer", job.terms.as_tuple(), REQUESTER, letters)
            case DemandHalf(lane):
                self._send(f"demand:{job.id}:{job.round}:{lane}", "demand", job.terms.as_tuple(), lane, 0)
            case Fetch(lane):
                self._fetch(job, lane)
            case Recheck():
                paid = (lane for lane in range(len(job.lanes)) if pays(job, lane))
                found = {lane: self._shelf.find(job, lane) for lane in paid}
                self._rechecker.begin(job, {lane: weights for lane, weights in found.items() if weights is not None})
            case Waive():
                self._waive(job)
            case Conclude():
                self._conclude(job)
            case Move(function):
                argument = job.id if function == "close" else job.terms.as_tuple()
                self._send(f"{function}:{job.id}:{job.deadline}", function, argument)

    def _send(self, intent: str, function: str, *args: Any) -> None:
        """A lost race is nobody's fault: the next cycle reads what happened instead."""
        try:
            self._tools.outbox.send(intent, function, *args)
        except Reverted as refused:
            log.info("%s was not needed or not possible: %s %s", intent, refused.message, refused.hint)

    def _hand_over(self, job: JobState, letter: Letter, name: str, *, fallback: bool = True) -> None:
        """Without `fallback` it is a courtesy: if the service does not take it, whoever needs it can demand it."""
        if not is_called(job):
            self._confirm(job)
        try:
            self._tools.mail.send(letter, fallback=fallback)
        except HeldoutError as problem:
            if fallback:
                raise
            log.debug("job %s: %s not delivered: %s", job.id, letter.kind, problem.message)
        if name not in self._sent[job.id]:
            log.info("job %s: %s to %s", job.id, letter.kind.value.replace("_", " "), letter.receiver)
        self._sent[job.id][name] = self._now

    def _confirm(self, job: JobState) -> None:
        """Threat 32: no secret leaves on the word of one RPC that others contradict. Raises RpcsDisagree."""
        self._tools.chain.confirm_events(job.id, self._events.get(job.id, ()), self._head)
        self._alarm.clear(RpcsDisagree.code, job=job.id)

    def _waive(self, job: JobState) -> None:
        """Of what was decided on: if the chain goes on or turns back, the signature is worth nothing (P6.1)."""
        tools, waiver = self._tools, self._consent(job)
        if waiver is None:
            return
        network = tools.chain.network
        signature = sign(tools.keys.account, waiver.digest(network.chain_id, network.market))
        for provider in dict.fromkeys(lane.provider for lane in job.lanes):
            letter = waiver_letter(waiver, signature, tools.keys.address, provider)
            self._waivers.keep(letter)
            self._hand_over(job, letter, letter_name(f"waiver {waiver.round}", provider), fallback=False)

    def _conclude(self, job: JobState) -> None:
        waiver, foreseen = self._consent(job), self._foreseen.get(job.id)
        signatures = self._waivers.to_post(job, waiver, self._tools.keys.address) if waiver else None
        if signatures is not None:
            openings = foreseen.as_tuples() if foreseen else []
            name = sha256(repr((openings, signatures)).encode()).hexdigest()[:16]
            self._send(f"conclude:{job.id}:{name}", "conclude", job.terms.as_tuple(), openings, signatures)

    def _consent(self, job: JobState) -> Waiver | None:
        return consent_to(job, self._tools.chain.job(job.id, at=self._head))

    def _writer(self, job: JobState) -> Writer:
        return writer_for(self._tools.chain, self._tools.keys, job)

    def _fetch(self, job: JobState, lane: int) -> None:
        parcel = self._parcel(job, lane, self._letters(job.id))
        if parcel is None:
            return
        weights = open_parcel(parcel, job, getter(self._tools.stores))
        path = self._shelf.keep(job.id, lane, parcel.submission, weights)
        log.info("job %s: weights of lane %d are in %s", job.id, lane, path)


def _measured_again(tools: Tools, job: JobState, weights: dict[int, bytes]) -> list[Check]:
    """With a connection of its own: it runs beside the keeper's cycles."""
    with closing(connect(tools.chain.network)) as chain:
        return verify(chain, tools.keys, job, weights, getter(tools.stores))


def getter(stores: Stores) -> Callable[[bytes, int], bytes]:
    """Artifacts by their hash, checked, for the modules that need no store."""
    return lambda digest, limit: stores.get(artifact_id(digest), limit)
