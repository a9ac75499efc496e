"""Removes what nobody keeps any more, once it is known which jobs go on.

    follow the chain ──▶ jobs' parties and ends ──▶ artifacts whose pins have all ended ──▶ removed, one by one
         │ it does not answer
         ╰──▶ nothing is removed this time

A store that is given no network follows no chain, so it cannot know which jobs go on, and removes nothing.
"""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from heldout.market.artifacts.blob import ArtifactId
from heldout.market.artifacts.incoming import Vault
from heldout.market.artifacts.keeping import Keeping
from heldout.market.errors import ChainProblem, HeldoutError, StoreProblem

log = logging.getLogger(__name__)

PERIOD_S: Final = 300.0
BLOCKS: Final = 5_000
"""Read at once, and remembered."""
_TOLD: Final = ("Posted", "Accepted", "Settled")
_STOP_S: Final = 3.0


class Jobs(Protocol):
    """What collecting needs of heldout.market.chain.Chain."""

    def head(self, confirmations: int = 0) -> Any: ...
    def events(self, first: int, last: int, *, names: Sequence[str] | None = None) -> list[Any]: ...


class Collector(Thread):
    """One round every PERIOD_S seconds, until stopped. `clock` is unix time."""

    def __init__(
        self,
        keeping: Keeping,
        vault: Vault,
        chain: Jobs | None,
        registry: CollectorRegistry,
        clock: Callable[[], float],
        *,
        confirmations: int = 0,
        period_s: float = PERIOD_S,
    ) -> None:
        super().__init__(name="collector", daemon=True)
        self._keeping, self._vault, self._chain = keeping, vault, chain
        self._clock, self._confirmations, self._period_s = clock, confirmations, period_s
        self._stop_asked = Event()
        self._accounts = Gauge("heldout_store_accounts", "Addresses that have something kept", registry=registry)
        self._kept = Gauge("heldout_store_kept_artifacts", "Artifacts kept", registry=registry)
        self._bytes = Gauge("heldout_store_kept_bytes", "Bytes kept", registry=registry)
        quota = Gauge("heldout_store_quota_bytes", "Most bytes in all; 0 in a bucket", registry=registry)
        quota.set(getattr(vault, "quota", 0))
        self._removed = Counter("heldout_store_removed", "Artifacts that nobody kept any more", registry=registry)
        self._failures = Counter("heldout_store_collect_failures", "Rounds that could not be made", registry=registry)
        self._at = Gauge("heldout_store_collected_timestamp_seconds", "When it last went through", registry=registry)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(_STOP_S)

    def run(self) -> None:
        while not self._stop_asked.is_set():
            self._try(self.round)
            self._stop_asked.wait(self._period_s)

    def round(self) -> int:
        """One round: how many artifacts were removed. Raises ChainProblem, StoreProblem; what was done stays done."""
        removed = 0
        if self._chain is not None:
            self._follow(self._chain)
            for artifact in self._keeping.ended():
                removed += self._remove(artifact)
            self._at.set(self._clock())
        accounts, artifacts, size = self._keeping.totals()
        self._accounts.set(accounts)
        self._kept.set(artifacts)
        self._bytes.set(size)
        return removed

    def reconcile(self) -> None:
        """After a crash, before anything is asked: artifacts without a pin get one, pins without an artifact go."""
        self._try(self._compare)

    def _compare(self) -> None:
        here = dict(self._vault.ids())
        self._keeping.adopt(here.items())
        for pin in self._keeping.pins(limit=-1):
            if pin.artifact not in here:
                self._keeping.forget(pin.artifact)

    def _follow(self, chain: Jobs) -> None:
        head = chain.head(self._confirmations).number
        known = self._keeping.followed()
        first = 0 if known is None else known + 1
        for start in range(first, head + 1, BLOCKS):
            last = min(start + BLOCKS - 1, head)
            events = chain.events(start, last, names=_TOLD)
            parties = [(str(event.job), who) for event in events for who in _parties(event)]
            ended = [(str(event.job), int(event.timestamp)) for event in events if event.name == "Settled"]
            self._keeping.learn(parties, ended, last)

    def _remove(self, artifact: ArtifactId) -> int:
        with self._keeping.lock:
            if self._keeping.stands(artifact):  # pinned since
                return 0
            self._vault.remove(artifact)
            self._keeping.forget(artifact)
        self._removed.inc()
        log.info("removed %s: nobody keeps it", artifact)
        return 1

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (ChainProblem, StoreProblem) as problem:
            self._failures.inc()
            log.warning("nothing is removed now: %s", problem.message)
        except HeldoutError as problem:
            self._failures.inc()
            log.error("nothing is removed now: %s (%s)", problem.message, problem.hint)
        except Exception:
            self._failures.inc()
            log.exception("nothing is removed now")


def _parties(event: Any) -> list[str]:
    """Requester and providers, as the event names them."""
    if event.name == "Posted":
        return [str(event.args["requester"])]
    return [str(bid["provider"]) for bid in event.args["bids"]] if event.name == "Accepted" else []
