"""Saying loudly that something must be done by a deadline and is at risk: log, `/metrics`, a command, a webhook.

An alarm is a code and, if it concerns one, a job. While the same alarm stays on, it is repeated every `repeat_s`
seconds and no more often; `clear` turns it off. The command gets one JSON object on stdin and never a shell; the
webhook gets the same object by POST. Each runs in a thread of its own: an alarm never holds up the duty it warns of.
"""

import json
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from heldout.market.terms import JobId, Timestamp

log = logging.getLogger(__name__)

REPEAT_S = 300.0
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Notice:
    """What is sent to command and webhook."""

    code: str
    message: str
    job: JobId | None = None
    deadline: Timestamp | None = None
    """In block time."""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()


Channel = Callable[[Notice], None]
"""Delivers one notice, or raises OSError or TimeoutError."""


def at_risk(deadline: Timestamp, now: Timestamp, window: int, spare: float = 0.25) -> bool:
    """Whether less than `spare` of a stage of `window` seconds is left. Past its deadline it is lost instead."""
    return 0 < deadline - now < window * spare


class Alarm:
    """Rings each alarm through every channel. Safe to call from any thread."""

    def __init__(
        self,
        channels: Sequence[Channel] = (),
        *,
        registry: CollectorRegistry | None = None,
        repeat_s: float = REPEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        registry = registry if registry is not None else CollectorRegistry()
        self._channels = channels
        self._repeat_s = repeat_s
        self._clock = clock
        self._lock = threading.Lock()
        self._rung: dict[tuple[str, JobId | None], float] = {}
        self._total = Counter("heldout_alarms", "Alarms rung, by code", ["code"], registry=registry)
        self._on = Gauge("heldout_alarm_on", "Alarms that are on now, by code", ["code"], registry=registry)

    def ring(self, code: str, message: str, *, job: JobId | None = None, deadline: Timestamp | None = None) -> bool:
        """Turn an alarm on, or repeat it. False if it was rung so recently that nothing was said."""
        with self._lock:
            last, now = self._rung.get((code, job)), self._clock()
            if last is not None and now - last < self._repeat_s:
                return False
            if last is None:
                self._on.labels(code).inc()
            self._rung[code, job] = now
        self._total.labels(code).inc()
        notice = Notice(code, message, job, deadline)
        log.warning("ALARM %s%s: %s", code, f" job {job}" if job else "", message)
        for channel in self._channels:
            threading.Thread(target=_deliver, args=(channel, notice), daemon=True).start()
        return True

    def clear(self, code: str, *, job: JobId | None = None) -> None:
        """Turn an alarm off; nothing happens if it was not on."""
        with self._lock:
            if self._rung.pop((code, job), None) is None:
                return
        self._on.labels(code).dec()
        log.info("alarm %s%s is over", code, f" job {job}" if job else "")

    @property
    def active(self) -> frozenset[tuple[str, JobId | None]]:
        with self._lock:
            return frozenset(self._rung)


def _deliver(channel: Channel, notice: Notice) -> None:
    try:
        channel(notice)
    except (OSError, TimeoutError) as problem:
        log.error("the alarm %s could not be delivered: %s", notice.code, problem)


def command_channel(command: Sequence[str], timeout_s: float = _TIMEOUT_S) -> Channel:
    """Runs `command` (words, no shell) with the notice on stdin."""

    def deliver(notice: Notice) -> None:
        try:
            done = subprocess.run(command, input=notice.encode(), timeout=timeout_s, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{command[0]} did not end in {timeout_s:g} s") from None
        if done.returncode:
            raise OSError(f"{command[0]} ended with {done.returncode}")

    return deliver


def webhook_channel(url: str, timeout_s: float = _TIMEOUT_S) -> Channel:
    """POSTs the notice to `url`, which the operator chose; redirects are not followed."""

    def deliver(notice: Notice) -> None:
        import httpx2

        try:
            headers = {"content-type": "application/json"}
            answer = httpx2.post(
                url, content=notice.encode(), headers=headers, timeout=timeout_s, follow_redirects=False
            )
        except httpx2.HTTPError as problem:
            raise OSError(f"webhook: {problem}") from None
        if answer.status_code >= 300:
            raise OSError(f"webhook answered {answer.status_code}")

    return deliver
