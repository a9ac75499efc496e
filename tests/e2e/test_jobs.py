"""Whole jobs on a real chain with real nodes: how they end when everybody is honest, and when the work is poor (P3)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heldout.market.lifecycle import Outcome, Purpose, State
from heldout.market.messages import pack_vote
from heldout.market.money import Ppm, Wei, payout_down
from heldout.market.terms import JobId
from tests.e2e.town import GOOD_ENOUGH, HARD, RANDOM, Kept, Town, check_ended, heldout
from tests.tables import cancer, tabular

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def verified(town: Town, job: JobId, home: Path) -> dict[str, Any]:
    """What `heldout verify` finds with the keys in a home, if there are any."""
    password = ["--password-file", str(town.devnet.password_file)]
    words = town.devnet.command("verify", job, "--json", "--home", str(home), *password)[3:]
    told: dict[str, Any] = json.loads(heldout(words).stdout)
    return told


def test_an_honest_job_pays_what_its_score_is_worth_and_anyone_can_verify_it(town: Town, tmp_path: Path) -> None:
    """P3, P4, P9: three seats, one number; the requester gets the weights and measures the same, and so does the
    provider once it was sent the held-out keys (P4.6). Who has no keys checks everything else (P7.5)."""
    client, job = town.post("honest", **{**GOOD_ENOUGH, "challenge": '"120 s"'})
    provider = town.devnet.home("provider-0")
    with Kept(town):
        town.until_state(job, State.SCORED)
        town.until(job, "its provider measures the same", lambda _: bool(verified(town, job, provider)["measured"]))
        ended = town.settle(job)
    own, outside = verified(town, job, provider), verified(town, job, tmp_path / "nobody")
    assert own["measured"] and own["ok"] and "score of lane 0" in {check["what"] for check in own["checks"]}
    assert outside["ok"] and not outside["measured"]
    public = {check["what"].partition(":")[0] for check in outside["checks"]}
    assert {"seed of round 1", "seats of round 1", "payout of lane 0", "money in, and out"} <= public
    assert {check["what"] for check in outside["checks"]} < {check["what"] for check in own["checks"]}
    for forged, what in (
        (replace(ended.rounds[0], seats=ended.rounds[0].seats[::-1]), "seats of round 1"),
        (replace(ended.rounds[0], seed=bytes(32)), "seed of round 1"),
        (replace(ended.rounds[0], result=pack_vote([1_000_000])), "result of round 1"),
    ):
        wrong = [check.what for check in client.witness(replace(ended, rounds=(forged,))) if not check.ok]
        assert wrong and any(each.startswith(what) for each in wrong), what
    poorer = (replace(ended.lanes[0], payout=Wei(ended.lanes[0].payout - 1)),)
    wrong = [check.what for check in client.witness(replace(ended, lanes=poorer)) if not check.ok]
    assert wrong == ["payout of lane 0"]
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
