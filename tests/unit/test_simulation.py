"""What docs/mechanism.md says of adversaries is what the rules pay them (P5.6, P10)."""

import pytest

from heldout.market.money import ONE_TOKEN
from heldout.simulation import chart
from heldout.simulation.__main__ import CHART, SMALL, check_profits
from heldout.simulation.adversaries import (
    ALL,
    Adversary,
    FailingProgram,
    Garbage,
    NoShow,
    Silent,
    UnansweredFailingProgram,
    Voider,
)
from heldout.simulation.chances import majority_chance, mean_over_deals, seats_drawn
from heldout.simulation.measure import measured, on_bytecode
from heldout.simulation.page import PAGE, filled, marked
from heldout.simulation.scene import Numbers
from heldout.simulation.tables import BASE, TABLES

QUICK = ("majorities", "steering", "hunters", "bonds", "fines")
"""Tables that take a second or two."""
STATED = {
    3: ("0.73", "2.8", "10.4", "25.5"),
    7: ("0.02", "0.27", "3.3", "16.8"),
    15: ("0.000", "0.003", "0.42", "8.4"),
}
"""P10: percent, by size of committee, for 5, 10, 20 and 33 % of the stake. The 0.000 reads `< 0.001` there."""


@pytest.mark.parametrize("size", STATED)
def test_p10_states_the_chances_of_a_majority(size: int) -> None:
    for share, stated in zip((0.05, 0.10, 0.20, 0.33), STATED[size], strict=True):
        last_digit = 10.0 ** -len(stated.split(".")[1])
        chance = 100 * majority_chance(size, share, seats=1_000_000)
        assert chance == pytest.approx(float(stated), abs=0.51 * last_digit)


def test_the_chances_of_all_committees_are_one() -> None:
    assert sum(seats_drawn(15, 3_300, 10_000)) == pytest.approx(1.0)


def test_a_mean_weighs_every_sequence_of_committees() -> None:
    """Two draws of three seats each, one third of all seats: two of six on average."""
    mean = mean_over_deals(lambda deal: {"mine": deal(3) + deal(3)}, share=1 / 3, seats=9_999)
    assert mean["mine"] == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize("name", QUICK)
def test_a_committed_table_is_what_is_computed_now(name: str) -> None:
    assert marked(PAGE.read_text())[name] == TABLES[name]().markdown(), "renew it: ./run sim --write"


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(set(TABLES) - set(QUICK)))
def test_every_other_table_is_what_is_computed_now(name: str) -> None:
    assert marked(PAGE.read_text())[name] == TABLES[name]().markdown(), "renew it: ./run sim --write"


@pytest.mark.deep
def test_the_chart_is_what_is_computed_now() -> None:
    assert CHART.read_text() == chart.svg(), "renew it: ./run sim --write"


def test_the_page_has_a_place_for_every_table_and_no_other() -> None:
    page = PAGE.read_text()
    assert set(marked(page)) == set(TABLES)
    assert filled(page, marked(page)) == page


@pytest.mark.parametrize("adversary", (Adversary(), *ALL), ids=lambda adversary: adversary.name)
def test_an_adversary_makes_the_same_on_the_bytecode(adversary: Adversary) -> None:
    ours, theirs = on_bytecode(adversary, SMALL, jobs=2)
    assert ours == theirs


@pytest.mark.deep
@pytest.mark.parametrize("adversary", (Adversary(), *ALL), ids=lambda adversary: adversary.name)
def test_more_jobs_and_real_draws_among_ten_thousand_seats_pay_what_the_mean_counts(adversary: Adversary) -> None:
    assert check_profits(adversary) > 20


def test_a_promise_broken_costs_what_the_terms_say() -> None:
    """P3: an absent provider's collateral goes to the requester."""
    outcome = measured(NoShow(), BASE)
    assert outcome.makes == -BASE.collateral * BASE.value
    assert outcome.requester == pytest.approx(BASE.worth - 93.75 - 3 - 20)


def test_a_program_that_fails_on_purpose_earns_its_requester_only_what_a_provider_lets_it() -> None:
    """P3.3, P10: absent, the provider loses its collateral; with any valid weights n·f, which goes to the seats."""
    answered, unanswered = measured(FailingProgram(), BASE), measured(UnansweredFailingProgram(), BASE)
    assert (unanswered.makes, unanswered.provider) == (20, 20)
    assert (answered.makes, answered.provider) == (0, BASE.committee * BASE.fee)


@pytest.mark.parametrize("adversary", (Silent(), Voider()), ids=lambda adversary: adversary.name)
def test_who_keeps_a_vote_back_makes_less_than_who_reveals(adversary: Adversary) -> None:
    """Threat 12, P3: a committed vote that is not revealed costs 8f, and no round that it voids is worth that."""
    silent = measured(adversary, BASE)
    revealing = measured(Garbage(), BASE) if isinstance(adversary, Voider) else measured(Adversary(), BASE)
    assert silent.makes < revealing.makes


def test_a_job_of_honest_people_pays_the_curve_and_the_fees() -> None:
    """P3.3: 0.97 is seven eighths of the way from the floor to the target."""
    (profits,), _ = on_bytecode(Adversary(), Numbers(seats=48, share=0.0), jobs=1)
    assert profits["provider"] == pytest.approx(93.75 - BASE.training)
    assert profits["honest"] == pytest.approx(BASE.committee * (BASE.fee - BASE.scoring))
    assert profits["requester"] * ONE_TOKEN == pytest.approx((BASE.worth - 93.75 - 3) * ONE_TOKEN)
