"""A suggestion for the price: what was accepted, never below what power costs (issue 5 item 9)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.errors import BadInput
from heldout.market.money import ONE_TOKEN, Wei
from heldout.provider.pricing import HOUR, Sale, Suggestion, power_up, suggest


def sold(*prices: int, seconds: int = HOUR) -> list[Sale]:
    return [Sale(Wei(price), seconds, paid=price % 2 == 0) for price in prices]


def test_without_sales_and_power_nothing_is_suggested() -> None:
    assert suggest([], Wei(0)) == Suggestion(0, 0, None, None, None, None, Wei(0))
    assert (suggest([], Wei(0)).price, suggest([], Wei(0)).minimum) == (None, None)


def test_the_middle_is_suggested_and_a_minimum_that_three_of_four_reached() -> None:
    said = suggest(sold(10, 40, 20, 30, 1000), Wei(0))
    assert (said.low, said.middle, said.high) == (20, 30, 40)
    assert (said.price, said.minimum) == (30, 20)
    assert (said.sales, said.paid) == (5, 5)


def test_what_a_short_lane_went_for_is_no_price_of_an_hour() -> None:
    """Two minutes for 50 to 160 tokens are no 3,150 an hour: that asked for two minutes would be above the cap."""
    short = suggest(sold(50, 100, 105, 160, seconds=120), Wei(7))
    assert (short.hourly, short.price, short.minimum) == (None, 7, 87)
    both = suggest([*sold(50, 160, seconds=120), *sold(30, seconds=1800)], Wei(0))
    assert both.price == 60


def test_few_sales_are_shown_whole() -> None:
    said = suggest(sold(10, 31), Wei(0))
    assert (said.low, said.middle, said.high, said.paid) == (10, 20, 31, 1)


@given(st.lists(st.integers(1, 10**24)), st.integers(0, 10**24))
def test_nobody_is_told_to_work_below_the_cost_of_power(prices: list[int], floor: int) -> None:
    said = suggest(sold(*prices), Wei(floor))
    assert said.price is None or said.price >= floor


@pytest.mark.parametrize("watts, kwh, least", [(350.0, ONE_TOKEN, Fraction(350, 1000)), (0.0, ONE_TOKEN, Fraction(0))])
def test_power_is_watts_times_tariff_rounded_up(watts: float, kwh: int, least: Fraction) -> None:
    assert power_up(watts, Wei(kwh)) == least * ONE_TOKEN
    assert power_up(1.0, Wei(1)) == 1


@pytest.mark.parametrize("watts", [float("nan"), float("inf"), -1.0])
def test_what_is_no_power_is_refused(watts: float) -> None:
    with pytest.raises(BadInput):
        power_up(watts, Wei(1))
