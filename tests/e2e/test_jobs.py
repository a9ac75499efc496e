"""Whole jobs on a real chain with real nodes: how they end when everybody is honest, and when the work is poor (P3)."""

from pathlib import Path

import pytest

from heldout.market.lifecycle import Outcome, Purpose
from heldout.market.money import Ppm, payout_down
from tests.e2e.town import GOOD_ENOUGH, HARD, RANDOM, Kept, Town, check_ended
from tests.tables import cancer, tabular

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def test_an_honest_job_pays_what_its_score_is_worth_and_anyone_can_verify_it(town: Town) -> None:
    """P3, P4, P9: three seats, one number; the requester gets the weights and measures the same."""
    client, job = town.post("honest", **GOOD_ENOUGH)
    with Kept(town):
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    lane, terms = ended.lanes[0], ended.terms
    assert lane.score is not None
    assert terms.floor <= lane.score <= 1_000_000
    assert lane.payout == payout_down(lane.price, Ppm(lane.score), terms.floor, terms.target, terms.floorPay) > 0
    assert len(set(ended.rounds[0].votes.values())) == 1
    assert len(set(ended.rounds[0].evidence.values())) == 1
    weights = town.fetch(client, ended)
    assert all(check.ok for check in client.verify(ended, {0: weights}))
    fees = [m.amount for m in ended.money if m.purpose is Purpose.FEE]
    assert fees == [terms.fee] * 3


@pytest.mark.deep
def test_somebodys_own_table_becomes_a_model_that_is_paid_for(town: Town, tmp_path: Path) -> None:
    """docs/your-data.md, from a CSV to the payout: checked in the providers' sandbox, then trained by one."""
    table, folder, client = tmp_path / "patients.csv", tmp_path / "job", town.requester()
    cancer(table)
    tabular(folder, str(table), "--target", "diagnosis", "--drop", "name")
    town.adjust(folder, floor="0.999", target="1")
    client.seal(folder)
    report = client.check(folder)
    assert report.isolated and "not tried" not in report.trial.told
    windows = {key: value for key, value in GOOD_ENOUGH.items() if key != "command"}
    town.adjust(folder, **{**windows, "floor": "0.7"})
    job = client.post(client.draft(folder))
    with Kept(town):
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.lanes[0].score is not None and ended.lanes[0].score > 800_000
    assert ended.lanes[0].payout > 0
    assert all(check.ok for check in client.verify(ended, {0: town.fetch(client, ended)}))


def test_a_score_below_the_floor_is_not_paid_and_costs_the_provider_the_fees(town: Town) -> None:
    """P3.3"""
    _client, job = town.post("below", **HARD)
    with Kept(town):
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    lane, terms = ended.lanes[0], ended.terms
    assert lane.score is not None
    assert lane.score < terms.floor
    assert lane.payout == 0
    to_requester = [m for m in ended.money if m.purpose is Purpose.COLLATERAL and m.account == terms.requester]
    assert sum(m.amount for m in to_requester) == terms.committee * terms.fee


def test_random_weights_score_like_chance_and_are_not_paid(town: Town) -> None:
    """P9: nothing about a model matters but what it answers on rows it has not seen."""
    _client, job = town.post("random", **RANDOM)
    with Kept(town):
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.lanes[0].score is not None
    assert ended.lanes[0].score < 300_000
    assert ended.lanes[0].payout == 0


def test_nobody_bids_and_everything_comes_back(town: Town) -> None:
    """P3: Open passes its deadline; anyone may expire it."""
    _client, job = town.post("nobody", **{**GOOD_ENOUGH, "price": '"39"'})
    with Kept(town):
        town.until_open(job)
        town.pass_deadline(job)
        ended = town.until(job, "expiry", lambda j: j.final)
    check_ended(town, ended, Outcome.EXPIRED)
    assert ended.money_out == ended.terms.escrow
