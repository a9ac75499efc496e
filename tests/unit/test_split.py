"""The two draws (P4.1, P5.2)."""

from collections import Counter
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from heldout.market.split import draw_committee, draw_split, round_size

JOB = sha256(b"job").digest()
seeds = st.binary(min_size=32, max_size=32)


@given(seeds, st.integers(16, 64), st.integers(4, 8))
def test_a_split_puts_every_shard_on_exactly_one_side(seed: bytes, shards: int, held_out: int) -> None:
    """P4.1"""
    split = draw_split(seed, JOB, shards, held_out)
    assert sorted(split.training + split.held_out) == list(range(shards))
    assert len(split.held_out) == held_out


def test_every_shard_is_held_out_about_equally_often() -> None:
    """P4.1: 2,000 seeds, 20 shards, 6 held out: mean 600 each, 5 sigma is about 103."""
    counts = Counter(
        i for n in range(2_000) for i in draw_split(sha256(bytes([n % 256, n // 256])).digest(), JOB, 20, 6).held_out
    )
    assert len(counts) == 20
    assert max(abs(count - 600) for count in counts.values()) < 103


def test_another_job_with_the_same_seed_has_another_split() -> None:
    """P4.1: one seed block may serve many jobs."""
    assert draw_split(JOB, JOB, 64, 32) != draw_split(JOB, sha256(b"other").digest(), 64, 32)


def test_rounds_grow_from_n_to_2n_plus_1_to_4n_plus_3() -> None:
    """P3"""
    assert [round_size(n, r) for n in (3, 5, 7) for r in (1, 2, 3)] == [3, 7, 15, 5, 11, 23, 7, 15, 31]


@given(seeds, st.sampled_from((3, 7, 15, 31)), st.integers(24, 400))
def test_a_committee_is_distinct_live_seats(seed: bytes, size: int, seats: int) -> None:
    """P5.2"""
    drawn = draw_committee(seed, JOB, 1, size, seats, lambda seat: seat % 4 != 0)
    chosen = [seat for seat in drawn if seat is not None]
    assert len(drawn) == size
    assert len(set(chosen)) == len(chosen)
    assert all(seat < seats and seat % 4 for seat in chosen)


def test_places_stay_vacant_when_live_seats_are_too_few() -> None:
    """P5.2: vacant places count in n, so they come last and are kept."""
    drawn = draw_committee(JOB, JOB, 1, 3, 24, lambda seat: seat == 7)
    assert drawn == (7, None, None)


def test_rounds_draw_independently() -> None:
    """P3.2"""
    assert draw_committee(JOB, JOB, 1, 7, 400, lambda _: True) != draw_committee(JOB, JOB, 2, 7, 400, lambda _: True)
