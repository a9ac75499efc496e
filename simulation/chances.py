"""How likely a committee is to hold how many seats of one holder (P5.2, P10), and means over all such committees."""

from collections.abc import Callable
from functools import lru_cache
from math import comb

from heldout.market.votes import majority_of

Deal = Callable[[int], int]
"""Size of a committee to how many of its seats are the adversary's."""

NEGLIGIBLE = 1e-9
"""Less likely committees are left out: with stakes of a thousand tokens they are worth a millionth."""


@lru_cache(maxsize=4096)
def seats_drawn(size: int, mine: int, seats: int) -> tuple[float, ...]:
    """Probability that k = 0 … size of a committee's seats are among `mine` of `seats` (drawn without putting back)."""
    whole = comb(seats, size)
    return tuple(comb(mine, k) * comb(seats - mine, size - k) / whole for k in range(size + 1))


def majority_chance(size: int, share: float, seats: int = 10_000) -> float:
    """Probability that a holder of `share` of all seats has a majority of one committee."""
    return sum(seats_drawn(size, round(share * seats), seats)[majority_of(size) :])


def mean_over_deals(play: Callable[[Deal], dict[str, float]], share: float, seats: int) -> dict[str, float]:
    """The exact mean of what `play` returns, over all committees that chance may deal it.

    A play is a program with chance in it: it is run once for every sequence of answers that its calls of `deal` may
    get, and weighed with the sequence's probability. So a case of one in 100,000 counts as much as it should.
    """
    mean: dict[str, float] = {}
    open_: list[tuple[int, ...]] = [()]
    while open_:
        prefix = open_.pop()
        dealt: list[int] = []
        weight = 1.0

        def deal(size: int) -> int:
            nonlocal weight
            chances = seats_drawn(size, round(share * seats), seats)
            likely = [k for k, chance in enumerate(chances) if weight * chance > NEGLIGIBLE] or [0]
            if len(dealt) < len(prefix):  # noqa: B023 - called within this turn of the loop only
                k = prefix[len(dealt)]  # noqa: B023
            else:
                k = likely[0]
                open_.extend((*dealt, other) for other in likely[1:])  # noqa: B023
            dealt.append(k)  # noqa: B023
            weight *= chances[k]
            return k

        for name, value in play(deal).items():
            mean[name] = mean.get(name, 0.0) + weight * value
    return mean
