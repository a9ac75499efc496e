"""Doing what `duties.decide` decided: a method for each step. What comes before the word on chain is in `making`, what
comes after in `delivering`; here are bids, deadline moves and the end.
"""

import logging
from collections.abc import Callable

from prometheus_client import Counter

from heldout.market.manifest import Manifest
from heldout.market.money import format_tokens
from heldout.market.terms import Timestamp
from heldout.provider.agreeing import Agreeing
from heldout.provider.bidding import Means, Quote, Refusal, judge, without_room
from heldout.provider.delivering import Delivering
from heldout.provider.duties import Step, View, may_be_accepted
from heldout.provider.ending import describe_ending
from heldout.provider.graphs import Graphs
from heldout.provider.making import PROGRESS, Making
from heldout.provider.record import Record
from heldout.provider.tools import Tools
from heldout.provider.untrained import Untrained
from heldout.provider.waiving import Waiving

log = logging.getLogger(__name__)


class Work:
    """Carries out steps. `means` tells what this node has to bid with at this moment."""

    def __init__(
        self,
        tools: Tools,
        making: Making,
        delivering: Delivering,
        waiving: Waiving,
        agreeing: Agreeing,
        means: Callable[[View, Manifest | Refusal], Means],
    ) -> None:
        self._tools = tools
        self._making = making
        self._delivering = delivering
        self._waiving, self._agreeing = waiving, agreeing
        self._means = means
        self._graphs = Graphs(tools.stores, tools.chores)
        registry = tools.registry
        self._refusals = Counter("heldout_provider_refusals", "Jobs not bid for, by rule", ["rule"], registry=registry)
        self._steps = Counter("heldout_provider_steps", "Steps taken, by name", ["step"], registry=registry)
        self._methods: dict[Step, Callable[[View, Record], Record]] = {
            Step.JUDGE: self._judge,
            Step.SEND_BID: self._send_bid,
            Step.TAKE_KEYS: making.take_keys,
            Step.DEMAND_KEYS: making.demand_keys,
            Step.FETCH_DATA: making.fetch_data,
            Step.TRAIN: making.train,
            Step.WATCH: making.watch,
            Step.STAND_IN: Untrained(tools).stand_in,
            Step.SEAL: making.seal,
            Step.UPLOAD: making.upload,
            Step.SUBMIT: delivering.submit,
            Step.SUBMIT_NO_KEYS: delivering.submit_no_keys,
            Step.TELL_REQUESTER: delivering.tell_requester,
            Step.DELIVER: delivering.deliver,
            Step.ANSWER: delivering.answer,
            Step.GIVE_HALF: delivering.give_half,
            Step.WAIVE: waiving.waive,
            Step.CONCLUDE: waiving.conclude,
            Step.AGREE: agreeing.agree,
            Step.CLOSE: self._close,
            Step.SETTLE: self._settle,
            Step.FINISH: self._finish,
        }

    def take(self, step: Step, view: View, mine: Record) -> Record:
        """The record after the step. Raises what the step could not do; the next cycle decides anew."""
        self._steps.labels(step).inc()
        return self._methods[step](view, mine)

    def _judge(self, view: View, mine: Record) -> Record:
        before, mine = mine, mine.but(price=None, bid_sent=False, done=False, ending="")  # an earlier call may be over
        task = self._tools.materials.manifest(view.job.terms)
        verdict = judge(view.job, task, self._tools.config.offer, self._means(view, task), view.now)
        if isinstance(verdict, Quote) and isinstance(task, Manifest):
            needed = self._graphs.bytes_needed(task)
            if needed is None:
                return before
            verdict = without_room(view.job, needed) or verdict
        if isinstance(verdict, Quote):
            mine = self._tools.records.keep(
                mine.but(price=verdict.price, valid_until=verdict.valid_until, refusal=None)
            )
            self._tools.reach("bid.noted")
            return self._send_bid(view, mine)
        if may_be_accepted(view.job, before, view.now):
            return before  # no renewal, but what was promised stands
        if mine.refusal is None or mine.refusal[0] is not verdict.rule:
            self._refusals.labels(verdict.rule).inc()
            log.info("job %s  skip  %s: %s", view.job.id, verdict.rule, verdict.text)
        return self._tools.records.keep(mine.now_refusing(verdict))

    def _send_bid(self, view: View, mine: Record) -> Record:
        assert mine.price is not None
        letter = self._tools.deliveries.bid(view.job.id, mine.price, Timestamp(mine.valid_until))
        self._tools.mail.send(letter, fallback=True)
        if not mine.bid_sent:
            log.info("job %s  bid  %s", view.job.id, format_tokens(mine.price))
        self._tools.reach("bid.sent")
        return self._tools.records.keep(mine.but(bid_sent=True))

    def _close(self, view: View, mine: Record) -> Record:
        job = view.job
        self._tools.outbox.send(f"close:{job.id}:{job.state.name}:{job.round}:{job.deadline}", "close", job.id)
        return mine

    def _settle(self, view: View, mine: Record) -> Record:
        self._tools.outbox.send(f"settle:{view.job.id}", "settle", view.job.terms.as_tuple())
        return mine

    def _finish(self, view: View, mine: Record) -> Record:
        """Leave nothing behind: no container, no file, no row of the requester's data (P11 d)."""
        job = view.job.id
        if mine.attempts:
            self._tools.training.discard(job)
        self._tools.materials.forget(job)
        self._making.forget(job)
        self._delivering.forget(job)
        self._waiving.forget(job)
        self._agreeing.forget(job)
        ending = describe_ending(view.job, view.lane, mine)
        log.info("job %s  over  %s", job, ending)
        mine = self._tools.records.keep(mine.but(done=True, ending=ending))
        self._tools.journal.delete(PROGRESS + job)
        self._tools.records.prune()
        return mine
