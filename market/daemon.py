"""The loop every node runs in: one cycle at one block, again and again, until somebody asks it to stop.

    turn:   head ──▶ node.step(head) ──▶ wait one period
             │            │
             │            └ a retryable error: wait longer each time, alarm `node_stalled`, try again
             └ the head went back: skip; it stands still for long: alarm `head_stale`

A node isolates its jobs from each other with `Isolation`, so that one job's trouble never costs another its deadline.
Errors that no waiting cures (another chain, another contract) end the loop; SIGINT and SIGTERM end it after the turn.
"""

import ipaddress
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from heldout.market.alarm import Alarm
from heldout.market.errors import BadInput, ChainProblem, HeldoutError, Reverted, RpcsDisagree
from heldout.market.journal import JournalUnwritable
from heldout.market.terms import JobId

log = logging.getLogger(__name__)


class Head(Protocol):
    """The block a cycle reads at."""

    @property
    def number(self) -> int: ...
    @property
    def timestamp(self) -> int: ...


HeadT = TypeVar("HeadT", bound=Head)
_Stepped = TypeVar("_Stepped", bound=Head, contravariant=True)


class Node(Protocol[_Stepped]):
    """What a daemon does in one cycle."""

    def step(self, head: _Stepped, /) -> None:
        """Read at `head`, decide, act. A retryable HeldoutError is tried again later; anything else ends the daemon."""


@dataclass(frozen=True)
class Pace:
    """Seconds: between cycles; at most between attempts while the RPC is down; until a still head rings the alarm."""

    period_s: float = 1.0
    longest_pause_s: float = 30.0
    stale_after_s: float = 120.0


class Loop(Generic[HeadT]):
    """Turns a node over. `read_head` reads the newest block; `stop` ends the loop between two turns."""

    def __init__(
        self,
        node: Node[HeadT],
        read_head: Callable[[], HeadT],
        alarm: Alarm,
        *,
        registry: CollectorRegistry | None = None,
        pace: Pace | None = None,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        registry = registry if registry is not None else CollectorRegistry()
        self.stop = stop or threading.Event()
        self._node = node
        self._read_head = read_head
        self._alarm = alarm
        self._pace = pace or Pace()
        self._clock = clock
        self._failures = 0
        self._seen: HeadT | None = None
        self._seen_at = clock()
        self._block = Gauge("heldout_head_block", "Newest block this node has acted on", registry=registry)
        self._behind = Gauge("heldout_head_age_seconds", "Seconds since the head last moved", registry=registry)
        self._seconds = Gauge("heldout_cycle_seconds", "How long the last cycle took", registry=registry)
        self._failed = Counter(
            "heldout_cycle_failures", "Cycles that failed, by error code", ["code"], registry=registry
        )

    @property
    def ready(self) -> bool:
        """Whether the last turn went through."""
        return self._seen is not None and self._failures == 0

    def run(self) -> None:
        """Until `stop` is set. Raises what no waiting cures."""
        while not self.stop.is_set():
            self.stop.wait(self.turn())

    def turn(self) -> float:
        """One cycle; how many seconds to wait before the next."""
        began = self._clock()
        try:
            head = self._newest(began)
            if head is not None:
                self._node.step(head)
        except HeldoutError as problem:
            if not problem.retryable:
                raise
            return self._pause_after(problem)
        if self._failures:
            log.info("working again after %d failed attempts", self._failures)
            self._alarm.clear("node_stalled")
        self._failures = 0
        self._seconds.set(self._clock() - began)
        return self._pace.period_s

    def _newest(self, now: float) -> HeadT | None:
        """The head, or None while the RPC shows an older one than it did before (threat 31).

        A head that stays behind is taken after all when `stale_after_s` have passed: then the chain itself went back,
        and reading it is how a node finds out what became of its jobs.
        """
        head = self._read_head()
        idle = now - self._seen_at
        if self._seen is None or head.number > self._seen.number:
            self._seen, self._seen_at, idle = head, now, 0.0
            self._alarm.clear("head_stale")
        elif idle >= self._pace.stale_after_s:
            self._alarm.ring("head_stale", f"no block after {self._seen.number} for {idle:.0f} s: the RPC may lag")
            self._seen = head
        elif head.number < self._seen.number:
            log.warning("the RPC's head went back from block %d to %d: waiting", self._seen.number, head.number)
            return None
        self._block.set(head.number)
        self._behind.set(idle)
        return head

    def _pause_after(self, problem: HeldoutError) -> float:
        self._failures += 1
        self._failed.labels(problem.code).inc()
        pause = min(self._pace.period_s * 2.0 ** min(self._failures, 16), self._pace.longest_pause_s)
        log.warning("cycle failed (%s): %s; again in %.1f s", problem.code, problem.message, pause)
        if self._failures >= 3:
            self._alarm.ring("node_stalled", f"{self._failures} cycles failed: {problem.message}")
        return pause


class Isolation:
    """Keeps jobs apart: what goes wrong in one is logged, alarmed and tried again later, and the others go on."""

    def __init__(
        self, alarm: Alarm, *, longest_pause_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._alarm = alarm
        self._longest = longest_pause_s
        self._clock = clock
        self._failures: dict[JobId, int] = {}
        self._not_before: dict[JobId, float] = {}
        self._disputed: set[JobId] = set()

    def run(self, job: JobId, step: Callable[[], None]) -> bool:
        """Whether `step` ran through. Raises what concerns every job: trouble with the chain, a disk that is full."""
        if self._clock() < self._not_before.get(job, 0.0):
            return False
        try:
            step()
        except Reverted as lost:  # a race was lost; the next cycle reads what happened (threat 38)
            log.warning("job %s: the contract refused %s %s", job, lost.message, lost.hint)
            self._pause(job)
            return False
        except (ChainProblem, JournalUnwritable):
            raise
        except RpcsDisagree as lie:
            self._alarm.ring(lie.code, lie.message, job=job)
            self._disputed.add(job)
            self._pause(job)
            return False
        except HeldoutError as problem:
            log.warning("job %s: %s (%s) %s", job, problem.message, problem.code, problem.hint)
            self._pause(job)
            return False
        except Exception as bug:  # a bug met in one job must not cost the others their deadlines
            log.exception("job %s: unexpected %s", job, type(bug).__name__)
            self._alarm.ring("bug", f"unexpected {type(bug).__name__}: see the log", job=job)
            self._pause(job)
            return False
        self._failures.pop(job, None)
        self._not_before.pop(job, None)
        if job in self._disputed:
            self._disputed.discard(job)
            self._alarm.clear(RpcsDisagree.code, job=job)
        return True

    def _pause(self, job: JobId) -> None:
        self._failures[job] = self._failures.get(job, 0) + 1
        self._not_before[job] = self._clock() + min(2.0 ** min(self._failures[job], 16), self._longest)


@contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`; a second one interrupts. Main thread only."""

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        log.info("stopping after this cycle (%s)", signal.Signals(number).name)
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --------------------------------------------------------------------------------------------- -----, /metrics


def parse_listen(text: str) -> tuple[str, int]:
    """`127.0.0.1:9464` as host and port; port 0 lets the system choose. Raises BadInput."""
    host, _, port = text.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise BadInput(f"{text!r} is not an address to listen on", hint="write it as 127.0.0.1:9464") from None


@contextmanager
def metrics_server(listen: str, registry: CollectorRegistry, ready: Callable[[], bool]) -> Iterator[tuple[str, int]]:
    """Serves /metrics, /healthz and /readyz in a thread; yields where. Names other than localhost are refused as Host,
    so that no web page reaches it by rebinding its own name (threat 76)."""
    ProcessCollector(registry=registry)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = self._answer() if _is_local_name(self.headers.get("host", "")) else (403, b"unknown host\n")
            self.send_response(status)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _answer(self) -> tuple[int, bytes]:
            match self.path:
                case "/metrics":
                    return 200, generate_latest(registry)
                case "/healthz":
                    return 200, b"ok\n"
                case "/readyz":
                    return (200, b"ready\n") if ready() else (503, b"not ready\n")
            return 404, b"not found\n"

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not worth a line in a node's log."""

    server = ThreadingHTTPServer(parse_listen(listen), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        host, port = server.server_address[:2]
        yield str(host), int(port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def _is_local_name(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
