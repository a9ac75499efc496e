"""The provider's cycle: read the chain, look at every job, decide, act (see `duties` for what, `work` for how)."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from prometheus_client import Gauge

from heldout.market.alarm import Alarm
from heldout.market.chain import Block
from heldout.market.daemon import Isolation
from heldout.market.errors import SandboxProblem
from heldout.market.journal import Journal
from heldout.market.lifecycle import JobState, State
from heldout.market.manifest import Manifest
from heldout.market.messages import Kind
from heldout.market.money import ONE_TOKEN, Wei, format_gas
from heldout.market.terms import Address, BlockNumber, Timestamp
from heldout.provider.agreeing import Agreeing
from heldout.provider.bidding import Means, Refusal
from heldout.provider.book import Book
from heldout.provider.calls import Calls
from heldout.provider.checkpoints import Checkpoints
from heldout.provider.delivering import Delivering
from heldout.provider.duties import RISKS, Step, View, decide, is_absent, may_be_accepted, risks
from heldout.provider.freezing import Freezing
from heldout.provider.making import Making
from heldout.provider.owner import Wish, objection
from heldout.provider.record import Record, Records
from heldout.provider.tools import Tools
from heldout.provider.waiving import Waiving
from heldout.provider.work import Work

log = logging.getLogger(__name__)

FLOOR = "floor"
REREAD = 64
"""Blocks read again after a restart, and for which a job that is over is kept: what a reorg may have moved."""
CHECK_SANDBOX_S = 30.0
SWEEP_S = 300.0
_NEEDS_SANDBOX = frozenset({Step.TRAIN, Step.WATCH, Step.FINISH})


def first_block(journal: Journal, records: Records) -> BlockNumber:
    """Where a restarted node begins to read: no unfinished job was posted before it."""
    floor = journal.get(FLOOR) or {"block": 0}
    return BlockNumber(min([int(floor["block"]), *(record.posted for record in records if not record.done)]))


class ProviderNode:
    """One provider. Satisfies heldout.market.daemon.Node."""

    def __init__(
        self,
        tools: Tools,
        book: Book,
        alarm: Alarm,
        *,
        confirmations: int,
        end: Callable[[], None],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tools = tools
        self._book = book
        self._alarm = alarm
        self._confirmations = confirmations
        self._end = end
        self._ticks = ticks
        self._checkpoints = Checkpoints(tools)
        self._freezing = Freezing(tools)
        self._making = Making(tools, self._checkpoints)
        network = tools.chain.network
        self._waiving = Waiving(tools, network.chain_id, network.market)
        self._agreeing = Agreeing(tools, network.chain_id, network.market)
        self._work = Work(tools, self._making, Delivering(tools), self._waiving, self._agreeing, self._means)
        self._calls = Calls(tools.chain, tools.mail, book)
        self._calls.restore(tools.records)
        self._jobs = Isolation(alarm, clock=ticks)
        self._head: Block | None = None
        self._sandbox = False
        self._tiers: frozenset[str] = frozenset()
        self._adopted = False
        self._checked = self._swept = float("-inf")
        self._noted = 0
        self._leaving = ""
        self._free = Gauge("heldout_provider_free_tokens", "Free balance in the market", registry=tools.registry)
        self._gas = Gauge("heldout_provider_gas", "Coins left for gas", registry=tools.registry)
        self._held = Gauge("heldout_provider_jobs", "Jobs of this node, by stage", ["stage"], registry=tools.registry)

    @property
    def me(self) -> Address:
        return self._tools.deliveries.me

    def step(self, head: Block, /) -> None:
        """One cycle. Raises retryable ChainProblem while the RPC is down."""
        self._head = head
        self._tools.outbox.poll()
        self._book.advance()
        self._calls.tend(head)
        self._look_after_sandbox()
        self._receive()
        for job in list(self._book.jobs.values()):
            self._jobs.run(job.id, partial(self._turn, job, head))
        self._report(head)
        self._obey(head)

    # ------------------------------------------------------------------------------------------------- jobs

    def _turn(self, job: JobState, head: Block) -> None:
        """Everything one job asks for in this cycle."""
        if not self._is_of_interest(job):
            if job.final:
                self._book.forget(job.id)
            return
        mine = self._calls.noted(self._tools.records.of(job.id, job.posted.block))
        if mine.done and job.final:
            if head.number >= self._book.changed(job.id) + REREAD:
                self._book.forget(job.id)
            return
        view = self._view(job, head)
        if view.training:
            view = replace(view, standing=self._freezing.tend(view))
        self._warn(view, mine)
        if (foreseen := self._waiving.foresee(job)) and view.deep:
            view = self._view(foreseen.job, head, foreseen=True)
        for step in decide(view, mine):
            if step in _NEEDS_SANDBOX and not self._adopted:
                continue
            mine = self._work.take(step, view, mine)

    def _is_of_interest(self, job: JobState) -> bool:
        """Jobs that were over before this node came are none of its business."""
        return job.state is State.OPEN or job.lane_of(self.me) is not None or self._tools.records.knows(job.id)

    def _view(self, job: JobState, head: Block, *, foreseen: bool = False) -> View:
        return View(
            job=job,
            me=self.me,
            now=Timestamp(head.timestamp),
            head=head.number,
            changed=self._book.changed(job.id),
            events=self._book.events(job.id),
            confirmations=self._confirmations,
            training=self._tools.training.has(job.id),
            waive_at=self._tools.config.waive_at,
            waived_since=self._waiving.whole_since(job, head),
            proposed=self._agreeing.is_proposed(job),
            foreseen=foreseen,
        )

    def _warn(self, view: View, mine: Record) -> None:
        at_risk = {risk.code: risk.message for risk in risks(view, mine)}
        for code in RISKS:
            if code in at_risk:
                self._alarm.ring(code, at_risk[code], job=view.job.id, deadline=view.job.deadline)
            else:
                self._alarm.clear(code, job=view.job.id)

    def _receive(self) -> None:
        """File openings and waivers, whoever brings them, what the requester sends, and what this node told itself."""
        for letter in self._tools.mail.fetch():
            if letter.kind is Kind.CHECKPOINT and letter.sender.lower() == self.me.lower():
                self._checkpoints.receive(letter)
                continue
            job = self._book.jobs.get(letter.job)
            if job is None or job.lane_of(self.me) is None or self._tools.records.of(job.id, job.posted.block).done:
                continue
            if letter.kind in (Kind.WAIVER, Kind.SCORE_REVEAL):
                self._waiving.receive(letter)
            elif letter.sender.lower() != job.terms.requester.lower():
                continue
            elif letter.kind is Kind.OUTCOME:
                self._agreeing.receive(letter)
            elif letter.kind is Kind.TRAINING_KEYS:
                self._making.receive(letter)

    # ------------------------------------------------------------------------------------------------ means

    def _means(self, view: View, task: Manifest | Refusal) -> Means:
        """What there is to bid with for this job, after what other jobs may still claim."""
        assert self._head is not None
        tools, others = self._tools, list(self._claims(view))
        pledged = sum(job.terms.collateral for job in others if job.state is State.OPEN)
        image = task.image.get(tools.platform, "") if isinstance(task, Manifest) else ""
        return Means(
            me=self.me,
            platform=tools.platform,
            free=Wei(max(0, tools.chain.free(self.me, at=self._head) - pledged)),
            gas=tools.chain.eth(self.me, at=self._head),
            gas_reserve=tools.config.gas_reserve,
            busy=len(others),
            objection=objection(tools.config.when, tools.senses.wish, tools.senses.conditions),
            unfunded=self._calls.refusal(view.job, self._head),
            sandbox=self._sandbox,
            tiers=self._tiers,
            failures=tools.requesters.failures(view.job.terms.requester),
            image_here=bool(image) and self._sandbox and tools.training.has_image(image),
            data_here=isinstance(task, Manifest) and tools.materials.data_here(view.job.terms),
        )

    def _claims(self, view: View) -> Iterator[JobState]:
        """Other jobs that have this node's bid, or its lane and no word yet."""
        for record in self._tools.records:
            job = self._book.jobs.get(record.job)
            if job is None or record.done or record.job == view.job.id:
                continue
            lane = job.lane_of(self.me)
            bound = lane is not None and job.lanes[lane].word is None and not is_absent(job, lane)
            if bound or may_be_accepted(job, record, view.now):
                yield job

    # ----------------------------------------------------------------------------------------------- the owner

    def _obey(self, head: Block) -> None:
        """End, once nothing is promised any more, if the owner wishes so; take the money along if it leaves."""
        wish = self._tools.senses.wish
        if not wish.ends or any(self._is_promised(record, head) for record in self._tools.records):
            return
        free = self._tools.chain.free(self.me, at=head)
        if wish is Wish.LEAVE and free:
            self._leaving = self._leaving or f"leave:{head.number}:{free}"
            self._tools.outbox.send(self._leaving, "withdraw", self.me, free)
            return
        log.info("nothing is promised any more: this node ends, as its owner wished (%s)", wish)
        self._end()

    def _is_promised(self, record: Record, head: Block) -> bool:
        job = self._book.jobs.get(record.job)
        if job is None or record.done:
            return False
        return job.lane_of(self.me) is not None or may_be_accepted(job, record, head.timestamp)

    # -------------------------------------------------------------------------------------------- look-after

    def _look_after_sandbox(self) -> None:
        """Adopt what still runs, once; look now and then if the engine is there, and sweep up strays (P11 d)."""
        now, training = self._ticks(), self._tools.training
        unfinished: dict[str, int] = {record.job: record.failed for record in self._tools.records if not record.done}
        try:
            if not self._adopted:
                training.adopt(unfinished)
                self._adopted, self._swept = True, now
            if now - self._swept >= SWEEP_S:
                training.sweep(unfinished)
                self._swept = now
            if now - self._checked >= CHECK_SANDBOX_S:
                training.check()
                self._tiers = self._tools.tiers()
                self._checked = now
        except SandboxProblem as problem:
            self._sandbox, self._checked = False, float("-inf")
            self._alarm.ring("sandbox", f"{problem.message} {problem.hint}")
            return
        self._sandbox = True
        self._alarm.clear("sandbox")

    def _report(self, head: Block) -> None:
        """Gauges, the alarm for gas money, and once in a while how far back a restart must read."""
        free, gas = self._tools.chain.free(self.me, at=head), self._tools.chain.eth(self.me, at=head)
        self._free.set(free / ONE_TOKEN)
        self._gas.set(gas / ONE_TOKEN)
        if gas < self._tools.config.gas_reserve:
            self._alarm.ring("low_gas", f"{format_gas(gas)} left for gas: no new work is taken")
        else:
            self._alarm.clear("low_gas")
        stages = [self._book.jobs[r.job].state.name.lower() for r in self._tools.records if r.job in self._book.jobs]
        for state in State:
            self._held.labels(state.name.lower()).set(stages.count(state.name.lower()))
        if head.number >= self._noted + REREAD:
            self._tools.journal.put(FLOOR, {"block": max(0, head.number - REREAD)})
            self._noted = head.number
