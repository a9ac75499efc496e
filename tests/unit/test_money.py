"""Payouts, bonds and amounts (P3.3, P3.6, P7.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.errors import BadInput
from heldout.market.money import (
    MILLION,
    ONE_TOKEN,
    BasisPoints,
    Ppm,
    Wei,
    appeal_bond,
    escrow,
    format_gas,
    format_tokens,
    parse_tokens,
    payout_down,
    royalty_down,
)

scores = st.integers(0, 2**32 - 1).map(Ppm)
bids = st.integers(0, 2**96 - 1).map(Wei)


@given(bids, scores, scores, scores, st.integers(0, MILLION).map(Ppm))
def test_a_payout_never_exceeds_the_bid(bid: Wei, score: Ppm, floor: Ppm, target: Ppm, pay: Ppm) -> None:
    """P3.3"""
    if floor != target:
        assert 0 <= payout_down(bid, score, floor, target, pay) <= bid


@given(bids, scores, scores, st.integers(0, MILLION).map(Ppm))
def test_target_pays_the_whole_bid_and_floor_pays_the_floor_share(bid: Wei, floor: Ppm, target: Ppm, pay: Ppm) -> None:
    """P3.3, in both directions of the metric."""
    if floor != target:
        assert payout_down(bid, target, floor, target, pay) == bid
        assert payout_down(bid, floor, floor, target, pay) == bid * pay // MILLION


@given(bids, scores, scores, scores, scores)
def test_a_better_score_never_pays_less(bid: Wei, one: Ppm, other: Ppm, floor: Ppm, target: Ppm) -> None:
    """P3.3"""
    if floor == target:
        return
    worse, better = sorted((one, other), reverse=target < floor)
    half = Ppm(500_000)
    assert payout_down(bid, Ppm(worse), floor, target, half) <= payout_down(bid, Ppm(better), floor, target, half)


def test_below_the_floor_pays_nothing_in_either_direction() -> None:
    """P3.3"""
    assert payout_down(Wei(10**18), Ppm(899_999), Ppm(900_000), Ppm(980_000), Ppm(500_000)) == 0
    assert payout_down(Wei(10**18), Ppm(100_001), Ppm(100_000), Ppm(20_000), Ppm(500_000)) == 0


def test_half_way_between_floor_and_target_pays_three_quarters_at_half_floor_pay() -> None:
    """P3.3"""
    assert payout_down(Wei(1000), Ppm(940_000), Ppm(900_000), Ppm(980_000), Ppm(500_000)) == 750


def test_floor_equal_to_target_has_no_payout() -> None:
    with pytest.raises(ValueError, match="floor equals target"):
        payout_down(Wei(1), Ppm(1), Ppm(5), Ppm(5), Ppm(0))


def test_appeal_bonds_cover_twice_the_fees_or_a_share_of_the_bids() -> None:
    """P3.6"""
    assert appeal_bond(2, 3, Wei(1), Wei(0)) == 14
    assert appeal_bond(3, 3, Wei(1), Wei(0)) == 30
    assert appeal_bond(2, 3, Wei(1), Wei(1000)) == 100
    assert appeal_bond(3, 3, Wei(1), Wei(1000)) == 150
    with pytest.raises(ValueError, match="round 4"):
        appeal_bond(4, 3, Wei(1), Wei(1))


def test_royalties_and_escrow() -> None:
    """P2.2, P7.3"""
    assert royalty_down(Wei(999), BasisPoints(2_000)) == 199
    assert escrow(2, Wei(100), 3, Wei(5), Wei(40)) == 255


@given(st.integers(0, 2**96 - 1))
def test_amounts_survive_being_shown_and_read(wei: int) -> None:
    assert parse_tokens(format_tokens(wei).replace(",", "")) == wei


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1e400", "0.0000000000000000001", "12,5", "five"])
def test_what_is_not_an_amount_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse_tokens(text)
    assert refusal.value.hint


def test_amounts_are_shown_exactly() -> None:
    assert format_tokens(1234 * ONE_TOKEN) == "1,234.0000"
    assert format_tokens(-1) == "-0.000000000000000001"


def test_gas_money_is_told_to_a_millionth() -> None:
    """Of 0.999899653999297578 nobody needs the tail."""
    assert format_gas(999_899_653_999_297_578) == "0.999900"
    assert format_gas(10**18) == "1.000000"
