"""Parties that keep back what they owe: delivery is a fact of the chain, and silence has a price (P4.5)."""

import pytest

from heldout.market.lifecycle import REQUESTER, Outcome, Purpose, State
from heldout.market.messages import MISSING, NO_DATA
from tests.e2e.town import GOOD_ENOUGH, Kept, PlayedProvider, Town, check_ended

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def accept_cheapest(town: Town, client: object, job: object) -> None:
    """Accept by hand once there is a bid, and do nothing else that a requester should."""
    from heldout.market.terms import JobId
    from heldout.requester_cli.client import Client

    assert isinstance(client, Client)
    state = town.until(JobId(str(job)), "a bid", lambda j: bool(client.offers(j)))
    client.accept(state, client.offers(state)[:1])


def test_a_provider_that_never_submits_loses_its_collateral_to_the_requester(town: Town) -> None:
    """P3: Running passes its deadline without a submission; the rest is refunded."""
    _client, job = town.post("absent", **GOOD_ENOUGH)
    played = PlayedProvider(town, 3)
    played.bid(job)
    with Kept(town):
        running = town.until_state(job, State.RUNNING)
        assert running.lanes[0].provider == played.keys.address
        town.pass_deadline(job)
        ended = town.until(job, "settlement", lambda j: j.final)
    played.close()
    check_ended(town, ended, Outcome.UNSUBMITTED)
    collateral = [m for m in ended.money if m.purpose is Purpose.COLLATERAL and not m.incoming]
    assert [(m.account, m.amount) for m in collateral] == [(ended.terms.requester, ended.terms.collateral)]


def test_withheld_training_keys_cost_the_requester_its_bond(town: Town) -> None:
    """P4.5, Running: the provider demands, nobody answers, anyone closes."""
    client, job = town.post("no-training-keys", **GOOD_ENOUGH)
    accept_cheapest(town, client, job)
    town.until(job, "a demand", lambda j: REQUESTER in j.demanded or j.final)
    town.pass_deadline(job)
    ended = town.until(job, "settlement", lambda j: j.final)
    check_ended(town, ended, Outcome.TRAINING_KEYS_WITHHELD)
    bond = [m for m in ended.money if m.purpose is Purpose.BOND and not m.incoming]
    assert [(m.account, m.amount) for m in bond] == [(ended.lanes[0].provider, ended.terms.bond)]


def test_withheld_held_out_keys_pay_the_provider_in_full_and_the_bond_on_top(town: Town) -> None:
    """P4.5, Committing: seats demand, nobody answers; the seats get their fee, never the bond."""
    _client, job = town.post("no-held-out-keys", **GOOD_ENOUGH)
    with Kept(town):
        town.until_state(job, State.COMMITTING, 1)
    town.until(job, "a demand", lambda j: REQUESTER in j.demanded or j.final)
    town.pass_deadline(job)
    ended = town.until(job, "settlement", lambda j: j.final)
    check_ended(town, ended, Outcome.HELD_OUT_KEYS_WITHHELD)
    lane = ended.lanes[0]
    assert lane.score == NO_DATA
    assert lane.payout == lane.price
    bond = [m for m in ended.money if m.purpose is Purpose.BOND and not m.incoming]
    assert [(m.account, m.amount) for m in bond] == [(lane.provider, ended.terms.bond)]
    assert [m.amount for m in ended.money if m.purpose is Purpose.FEE] == [ended.terms.fee] * 3


def test_a_provider_that_keeps_its_half_key_is_not_paid(town: Town) -> None:
    """P4.5, Scored: the requester demands half b; silence makes the lane MISSING."""
    _client, job = town.post("no-half", **{**GOOD_ENOUGH, "challenge": '"60 s"'})
    with Kept(town):
        town.until_state(job, State.REVEALING, 1)
        town.kill("provider-0")
        try:
            town.until(job, "a demand", lambda j: 0 in j.demanded or j.final)
            town.pass_deadline(job)
            ended = town.until(job, "settlement", lambda j: j.final)
        finally:
            town.start("provider-0")
    check_ended(town, ended, Outcome.MEASURED)
    lane, terms = ended.lanes[0], ended.terms
    assert lane.score == MISSING
    assert lane.payout == 0
    collateral = [m for m in ended.money if m.purpose is Purpose.COLLATERAL and not m.incoming]
    assert [(m.account, m.amount) for m in collateral] == [(terms.requester, terms.collateral)]
