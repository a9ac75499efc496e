"""Token buckets: so much at once, so much a second, for each key (an address, a client)."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from heldout.market.errors import HeldoutError

MAX_KEYS = 10_000
"""Keys remembered; beyond it the longest idle ones are forgotten, whose buckets are the fullest."""


class Throttled(HeldoutError):
    """Too much, too fast. `retry_after` is in seconds."""

    code = "rate_limited"
    exit_code = 4
    retryable = True

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too fast: try again in {retry_after:.0f} s", hint="slow down")
        self.retry_after = retry_after


class Throttle:
    """Safe for threads. `clock` gives seconds that never go back."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, key: str, amount: float = 1) -> float:
        """What is left in the key's bucket. Raises Throttled if it does not hold `amount`; it holds a burst at most."""
        with self._lock:
            now = self._clock()
            level, at = self._buckets.pop(key, (self.burst, now))
            level = min(self.burst, level + (now - at) * self.rate)
            enough = level >= amount
            self._buckets[key] = (level - amount if enough else level, now)
            if len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
        if not enough:
            raise Throttled(max(1.0, (amount - level) / self.rate))
        return level - amount
