"""Doing what `duties` decides, job after job: the requester as a daemon (`heldout requester run`, `job watch`).

It keeps nothing that cannot be found again: jobs, splits, committees and demands are read from the chain, calls for
bids from the home directory (requester_cli/calls.py), keys and envelopes are derived from the key ring. The journal
guards transactions and keeps letters that a mailbox may lose, so kill -9 at any point, or a lost disk with a backup of
the keys, loses nothing.
"""

import logging
from collections.abc import Collection, Iterable
from contextlib import closing
from functools import partial

from heldout.market.alarm import Alarm
from heldout.market.calling import CallForBids
from heldout.market.chain import Block, JobView, connect
from heldout.market.daemon import Isolation
from heldout.market.foreseen import Foreseen, Openings
from heldout.market.lifecycle import JobState, State, fold
from heldout.market.messages import Letter
from heldout.market.terms import BlockNumber, JobId
from heldout.market.waiving import Waivers, consent_to
from heldout.requester_cli.acting import DATA_USED, UNFUNDED, Acts, Sight, is_taking
from heldout.requester_cli.bids import valid_offers
from heldout.requester_cli.calls import Calls
from heldout.requester_cli.duties import Call, Duty, Offer, Policy, View, Waiving, duties, is_done, risks
from heldout.requester_cli.inbox import Inbox
from heldout.requester_cli.opening import find_parcel
from heldout.requester_cli.rechecking import Rechecker
from heldout.requester_cli.releasing import drawn_seats
from heldout.requester_cli.shelf import Shelf
from heldout.requester_cli.tools import Tools, getter
from heldout.requester_cli.verifying import Check, verify

log = logging.getLogger(__name__)

_REORG_MARGIN = 64
"""Blocks looked through again, so that a `Posted` that a reorg moved, or an end that it took back, is not missed."""
_RISKS = ("demanded", "release_at_risk", "no_bids", "half_key_missing")
_DIFFERS = "score_differs"


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
        network = tools.chain.network
        self._inbox = Inbox(tools.mail, tools.journal)
        self._waivers = Waivers(tools.chain, network.chain_id, network.market)
        self._openings = Openings(network.chain_id, network.market)
        self._rechecker = Rechecker(partial(_measured_again, tools))
        self._acts = Acts(tools, alarm, shelf, self._waivers, self._rechecker, calls)

    # ----------------------------------------------------------------------------------------------- one cycle

    def step(self, head: Block) -> None:
        """Read at `head`, decide, act, for each job that is not done."""
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
        standing = {call.job for call, _ in found} | {job for job in self._called if is_taking(self._tools.outbox, job)}
        gone = self._called - standing - self._posted.keys()
        for job in gone:
            self._clear(job)
        self._over = (self._over | gone) - standing - self._posted.keys()
        self._called = standing
        return found

    def _tend(self, job: JobId, head: Block) -> None:
        sight = self.look(job, head)
        if sight is None:
            self._posted.pop(job)  # a reorg took it back; it is found again if it is posted again
            return
        view = sight.view
        self._attend(sight, duties(view))
        if is_done(view):
            self._tools.journal.put(f"done:{job}", {"outcome": view.job.outcome.name, "block": view.changed})
            self._waivers.forget(job)
            self._openings.forget(job)
            self._acts.forget(job)
            self._clear(job)
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
        self._attend(Sight(view), [Call(letter), *duties(view)])

    def _attend(self, sight: Sight, due: Iterable[Duty]) -> None:
        self._seen[sight.job.id] = sight.view
        self._ring(sight.view)
        for duty in due:
            self._acts.take(duty, sight)

    def _end_call(self, job: JobId) -> None:
        assert self._calls is not None
        self._calls.forget(job)

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
        for code in (*_RISKS, UNFUNDED, DATA_USED):
            self._alarm.clear(code, job=job)

    # ------------------------------------------------------------------------------------------------- reading

    def look(self, job: JobId, head: Block) -> Sight | None:
        """Everything a decision depends on, at one block. None if the chain has no such job."""
        chain = self._tools.chain
        events = chain.events(self._posted[job], head.number, job=job)
        state = fold(events).get(job)
        if state is None:
            return None
        stored, letters = chain.job(job, at=head), self._inbox.about(job)
        for letter in letters:
            self._waivers.keep(letter)
            self._openings.keep(letter)
        if foreseen := self._foresee(state, events[-1].block, head):
            state = foreseen.job
        view = View(
            job=state,
            changed=events[-1].block,
            head=head.number,
            now=head.timestamp,
            confirmations=chain.network.confirmations,
            stage_start=stored.stage_start,
            seed_block=stored.seed_block,
            offers=self._offers(state, letters, head),
            seats=drawn_seats(chain, state, stored, head),
            sent=self._acts.sent(job, head.timestamp),
            told=self._acts.told(job),
            complete=frozenset(i for i in range(len(state.lanes)) if self._opens(state, i, letters)),
            fetched=frozenset(i for i in range(len(state.lanes)) if self._shelf.path(job, i).exists()),
            rechecked=self._rechecker.agrees(state),
            all_waived=self._all_waived(state, stored) is not None,
            foreseen=foreseen is not None,
            policy=self._policy,
        )
        return Sight(view, events, letters, foreseen)

    def _offers(self, job: JobState, letters: list[Letter], head: Block) -> tuple[Offer, ...]:
        if job.state is not State.OPEN or is_taking(self._tools.outbox, job.id):
            return ()
        return valid_offers(self._tools.chain, letters, job, head)

    def _foresee(self, job: JobState, changed: BlockNumber, head: Block) -> Foreseen | None:
        """What comes of the openings that are here, once the commits are deep."""
        deep = head.number >= changed + self._tools.chain.network.confirmations
        return self._openings.foresee(job) if deep and self._policy.waiving is not Waiving.NEVER else None

    def _all_waived(self, job: JobState, stored: JobView) -> tuple[bytes, ...] | None:
        if job.state is not State.SCORED or self._policy.waiving is Waiving.NEVER:
            return None
        waiver = consent_to(job, stored)
        return self._waivers.signatures(job, waiver) if waiver else None

    def _opens(self, job: JobState, lane: int, letters: list[Letter]) -> bool:
        """Whether all is here that opens a lane's weights."""
        return bool(job.lanes[lane].word) and find_parcel(self._tools.keys, job, lane, letters) is not None


def _measured_again(tools: Tools, job: JobState, weights: dict[int, bytes]) -> list[Check]:
    """With a connection of its own: it runs beside the keeper's cycles."""
    with closing(connect(tools.chain.network)) as chain:
        return verify(chain, tools.keys, job, weights, getter(tools.stores))
