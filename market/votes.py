"""What the votes of a round decide (P3.2): the contract's tally, recomputed."""

from collections import Counter
from collections.abc import Collection, Iterable, Set

from heldout.market.lifecycle import REQUESTER
from heldout.market.messages import MISSING, NO_DATA


def majority_of(size: int) -> int:
    """How many equal votes decide: (n+1)/2 of all n seats, never of those who revealed."""
    return (size + 1) // 2


def tally(
    votes: Collection[tuple[int, ...]], size: int, lanes: int, countable: Set[int], missing: Set[int]
) -> tuple[int, ...] | None:
    """The value of every lane, or None if some lane has no majority.

    `countable`: the parties demanded in the round; MISSING and NO_DATA count only for those (P4.5).
    `missing`: lanes that are MISSING whatever the votes say.
    """
    values = [MISSING if i in missing else _majority((v[i] for v in votes), size) for i in range(lanes)]
    decided = [value for i, value in enumerate(values) if value is not None and _counts(value, i, countable, missing)]
    return tuple(decided) if len(decided) == lanes else None


def _majority(values: Iterable[int], size: int) -> int | None:
    value, count = next(iter(Counter(values).most_common(1)), (0, 0))
    return value if count >= majority_of(size) else None


def _counts(value: int, lane: int, countable: Set[int], missing: Set[int]) -> bool:
    if value == MISSING:
        return lane in missing or lane in countable
    return value != NO_DATA or REQUESTER in countable
