"""The two draws nobody chooses: which shards are held out (P4.1) and which seats measure (P5.2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from heldout.market.terms import keccak256, words

SEED_DELAY = 2
"""Blocks between an accept (or the start of a round) and the block whose hash is the seed."""
CANDIDATES_PER_SEAT = 16
"""A draw looks at 16 candidates per place before it leaves places vacant."""


@dataclass(frozen=True)
class Split:
    """Shard indices, each list ascending; together they are all shards."""

    training: tuple[int, ...]
    held_out: tuple[int, ...]


def _draws(seed: bytes, job: bytes) -> Iterator[int]:
    """An endless stream of 256-bit integers from (seed, job)."""
    counter = 0
    while True:
        yield int.from_bytes(sha256(seed + job + counter.to_bytes(8, "big")).digest(), "big")
        counter += 1


def _below(bound: int, draws: Iterator[int]) -> int:
    """A uniform integer in [0, bound), by rejection of the biased tail."""
    limit = (1 << 256) - (1 << 256) % bound
    return next(draw for draw in draws if draw < limit) % bound


def draw_split(seed: bytes, job: bytes, shards: int, held_out: int) -> Split:
    """Fisher–Yates over the shards; the first `held_out` of the shuffled order are held out (P4.1).

    `seed` is the hash of block acceptBlock + 2: nobody knew it when the providers were bound.
    """
    order = list(range(shards))
    draws = _draws(seed, job)
    for last in range(shards - 1, 0, -1):
        other = _below(last + 1, draws)
        order[last], order[other] = order[other], order[last]
    return Split(training=tuple(sorted(order[held_out:])), held_out=tuple(sorted(order[:held_out])))


def round_size(committee: int, round_: int) -> int:
    """Seats of a round: n, then 2n + 1, then 4n + 3 (P3)."""
    return ((committee + 1) << (round_ - 1)) - 1


def draw_committee(
    seed: bytes, job: bytes, round_: int, size: int, seat_count: int, is_live: Callable[[int], bool]
) -> tuple[int | None, ...]:
    """The seats of a round, None for a vacant place: the contract's draw, recomputed (P5.2).

    `is_live(seat)`: active before the accept and not exiting before the seed block.
    """
    drawn: list[int] = []
    for k in range(CANDIDATES_PER_SEAT * size):
        if len(drawn) == size:
            break
        candidate = int.from_bytes(keccak256(words((seed, job, round_, k))), "big") % seat_count
        if candidate not in drawn and is_live(candidate):
            drawn.append(candidate)
    return (*drawn, *(None for _ in range(size - len(drawn))))
