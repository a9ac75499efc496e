"""A keeper of other people's shard keys: it releases them by letter when they are due, and does nothing else.

It is the requester's daemon without the requester: no bid accepted, no transaction sent, no weights. The contract
takes an answer to a demand from the requester alone, so what answers is told to whoever brings it to the chain.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Final

from heldout.market.alarm import Alarm
from heldout.market.chain import Block, Chain
from heldout.market.daemon import Isolation
from heldout.market.errors import ChainProblem, HeldoutError, Refused, RpcsDisagree
from heldout.market.lifecycle import REQUESTER, ChainEvent, JobState, fold
from heldout.market.mail import Mail
from heldout.market.messages import Letter, encode_answer
from heldout.market.terms import Address, BlockNumber, JobId, JobTerms
from heldout.requester_cli.duties import (
    Duty,
    Policy,
    ReleaseHeldOut,
    ReleaseTraining,
    ShowHeldOut,
    View,
    duties,
    letter_name,
    risks,
    seat_name,
)
from heldout.requester_cli.handed import Handed, Shelf
from heldout.requester_cli.releasing import drawn_seats, letter_to_seat, owed, writer_for

log = logging.getLogger(__name__)

_REORG_MARGIN: Final = 64
_RESEND_S: Final = 30
_RISKS: Final = ("demanded", "release_at_risk")


class KeyKeeper:
    """Satisfies daemon.Node and market.keeping's Keeps. `mail` signs in as the keeper."""

    def __init__(self, chain: Chain, mail: Mail, shelf: Shelf, alarm: Alarm) -> None:
        self._chain, self._mail, self._shelf, self._alarm = chain, mail, shelf, alarm
        self._isolation = Isolation(alarm)
        self._posted: dict[tuple[str, bytes], tuple[JobId, BlockNumber]] = {}
        self._done: set[JobId] = set()
        self._scanned = chain.network.deploy_block
        self._sent: defaultdict[JobId, dict[str, int]] = defaultdict(dict)

    # ------------------------------------------------------------------------------------------ by the server

    def take(self, line: str) -> Address:
        """Keep the keys in a line. Raises BadInput, Refused."""
        handed = self._shelf.take(line)
        log.info("keys of %s for the data with salt %s are here", handed.address, handed.salt.hex())
        return handed.address

    def answer(self, job: JobId) -> bytes:
        """What the requester owes the chain now. Raises Refused if that is nothing, ChainProblem."""
        head = self._chain.head()
        posted = self._chain.events(self._chain.network.deploy_block, head.number, job=job)
        state = fold(posted).get(job)
        handed = self._shelf.find(state.terms.requester, state.terms.salt) if state else None
        if state is None or handed is None:
            raise Refused("this keeper has no keys for that job", hint="check its id", code="not_found")
        if REQUESTER not in state.pending:
            raise Refused("nothing is demanded of the requester", hint="look at the job again", code="not_demanded")
        self._chain.confirm_events(job, posted, head.number)
        return encode_answer(owed(self._chain, handed, state))

    # ----------------------------------------------------------------------------------------------- one cycle

    def step(self, head: Block) -> None:
        """Read at `head`, and send what is due, for each job whose keys are here."""
        self._find_jobs(head)
        for (requester, salt), (job, block) in self._posted.items():
            if job not in self._done and (handed := self._shelf.find(requester, salt)):
                self._isolation.run(job, partial(self._tend, handed, job, block, head))

    def _find_jobs(self, head: Block) -> None:
        first = max(self._chain.network.deploy_block, self._scanned - _REORG_MARGIN)
        for event in self._chain.events(first, head.number, names=["Posted"]):
            terms = JobTerms.from_values(event.args["terms"])
            if event.job:
                self._posted[(terms.requester, terms.salt)] = (event.job, event.block)
        self._scanned = head.number

    def _tend(self, handed: Handed, job: JobId, block: BlockNumber, head: Block) -> None:
        events = self._chain.events(block, head.number, job=job)
        state = fold(events).get(job)
        if state is None:  # a reorg took it back; it is found again if it is posted again
            return
        view = self._look(state, events[-1].block, head)
        self._ring(view)
        for duty in duties(view):
            self._release(handed, view, duty, events)
        if state.final and head.number >= view.changed + view.confirmations:
            self._done.add(job)
            self._sent.pop(job, None)
            self._shelf.forget(handed)
            log.info("job %s has ended; its keys are forgotten", job)

    def _look(self, state: JobState, changed: BlockNumber, head: Block) -> View:
        stored = self._chain.job(state.id, at=head)
        sent = self._sent[state.id]
        return View(
            job=state,
            changed=changed,
            head=head.number,
            now=head.timestamp,
            confirmations=self._chain.network.confirmations,
            stage_start=stored.stage_start,
            seed_block=stored.seed_block,
            seats=drawn_seats(self._chain, state, stored, head),
            sent=frozenset(name for name, at in sent.items() if head.timestamp < at + _RESEND_S),
            told=frozenset(sent),
            policy=Policy(accept=False),
        )

    def _ring(self, view: View) -> None:
        now = {risk.code: risk.message for risk in risks(view)}
        for code in _RISKS:
            if code in now:
                self._alarm.ring(code, now[code], job=view.job.id, deadline=view.job.deadline)
            else:
                self._alarm.clear(code, job=view.job.id)

    def _release(self, handed: Handed, view: View, duty: Duty, events: Sequence[ChainEvent]) -> None:
        """One letter's trouble never costs another its deadline; the next cycle tries it again."""
        try:
            found = self._letter(handed, view.job, duty)
            if found is None:
                return
            letter, name = found
            self._chain.confirm_events(view.job.id, events, view.head)
            self._alarm.clear(RpcsDisagree.code, job=view.job.id)
            self._mail.send(letter)
        except ChainProblem:
            raise
        except RpcsDisagree as lie:
            self._alarm.ring(lie.code, lie.message, job=view.job.id, deadline=view.job.deadline)
            return
        except HeldoutError as problem:
            log.warning("job %s: %s: %s (%s)", view.job.id, type(duty).__name__, problem.message, problem.code)
            return
        if name not in self._sent[view.job.id]:
            log.info("job %s: %s to %s", view.job.id, letter.kind.value.replace("_", " "), letter.receiver)
        self._sent[view.job.id][name] = view.now

    def _letter(self, handed: Handed, job: JobState, duty: Duty) -> tuple[Letter, str] | None:
        """A duty's letter and its name; None for a duty that only the requester can do."""
        match duty:
            case ReleaseTraining(lane):
                name = letter_name("training_keys", job.lanes[lane].provider)
                return writer_for(self._chain, handed, job).training_keys(lane), name
            case ReleaseHeldOut(seat):
                letter = letter_to_seat(self._chain, writer_for(self._chain, handed, job), seat)
                return (letter, letter_name("held_out_keys", seat_name(seat))) if letter else None
            case ShowHeldOut(lane):
                name = letter_name("held_out_keys", job.lanes[lane].provider)
                return writer_for(self._chain, handed, job).held_out_keys_for_lane(lane), name
        return None
