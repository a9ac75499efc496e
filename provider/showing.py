"""What `status` and `why` print, from a node's records: pure."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from heldout.market.console import amount
from heldout.market.money import format_tokens
from heldout.provider.owner import Wish
from heldout.provider.record import Record

SAYS = {
    Wish.WORK: "takes new work, as [when] allows",
    Wish.PAUSE: "takes no new work; what was promised goes on",
    Wish.FREEZE: "takes no new work, and running jobs stand still",
    Wish.DRAIN: "takes no new work, and ends once nothing is promised",
    Wish.LEAVE: "takes no new work, ends once nothing is promised, and takes its balance along",
}


def node_lines(wish: Wish, since: float | None, running: bool | None) -> list[str]:
    """Whether the node runs, and what its owner told it last, if not to work."""
    runs = {True: "running", False: "not running: `heldout provider run`", None: "unknown whether it runs"}[running]
    if wish is Wish.WORK or since is None:
        return [f"node     {runs}; {SAYS[wish]}"]
    told = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(since))
    return [f"node     {runs}", f"owner    {wish} since {told}: {SAYS[wish]}; `heldout provider resume`"]


def stage(record: Record) -> str:
    """How far this node has come with a job, in one word."""
    if record.done:
        return "over"
    if record.price is None:
        return "no bid"
    for reached, word in (
        (record.half_given, "paid"),
        (bool(record.delivered), "delivered"),
        (record.requester_told, "submitted"),
        (record.uploaded, "uploaded"),
        (record.sealed is not None, "sealed"),
        (bool(record.untrained), "stands in"),
        (bool(record.weights_hash), "trained"),
        (record.attempts > record.failed, "training"),
        (record.failures > 0, "failed"),
        (record.data_ready, "data ready"),
        (bool(record.keys), "keys"),
    ):
        if reached:
            return word
    return "bid"


def reason(record: Record) -> str:
    """The exact rule that kept this node from bidding or winning, or what it waits for."""
    if record.ending:
        return record.ending
    if record.refusal:
        return record.refusal[1]
    if record.price is None:
        return "not looked at yet"
    how = f"; {record.failure}" if record.failure else ""
    if record.untrained:
        how += "; its program failed: weights that nobody trained stand in, to lose a fee and not the collateral"
    return f"bid {format_tokens(record.price)}; {stage(record)}{how}"


def rule(record: Record) -> str:
    """One word to count by."""
    if record.price is None:
        return str(record.refusal[0]) if record.refusal else "unseen"
    return stage(record) if not record.done else ("won" if record.attempts else "not_won")


def as_json(record: Record, progress: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A record for machines, without anything secret. `progress` is what the journal has of its training."""
    readings, frozen = (progress or {}).get("readings", ()), (progress or {}).get("frozen", "")
    return {
        "job": record.job,
        "stage": "frozen" if frozen else stage(record),
        "rule": rule(record),
        "reason": frozen or reason(record),
        "price": amount(record.price) if record.price is not None else None,
        "attempts": record.attempts,
        "failure": record.failure,
        "untrained": bool(record.untrained),
        "weights": record.weights_hash or None,
        "last_reading": readings[-1] if readings else None,
    }


def reading(values: Mapping[str, float] | None) -> str:
    """What a job last said of itself: `accuracy 0.9984  loss 0.01942`."""
    return "  ".join(f"{name} {value:.4g}" for name, value in (values or {}).items())


def summary(records: Sequence[Record]) -> str:
    """`31 jobs: 14 above_cap, 9 gpus, 6 won, 2 not_won`."""
    counts = Counter(map(rule, records)).most_common()
    return f"{len(records)} jobs" + (": " + ", ".join(f"{count} {word}" for word, count in counts) if counts else "")
