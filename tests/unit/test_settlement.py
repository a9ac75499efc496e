"""market/settlement.py where no history of tests/stateful/test_bytecode.py goes: asked too early, and as a forecast."""

import pytest

from heldout.market.lifecycle import Outcome, Purpose, State, fold
from heldout.market.messages import pack_vote
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.settlement import Slash, Stake, settle
from heldout.market.terms import Address
from tests.builders import JOB, PROVIDERS, REQUESTER, TERMS, EventLog, digest, terms_values

STAKE = Wei(1_000 * ONE_TOKEN)
COLD = Address("0x" + "c0" * 20)


def stake_of(seat: int) -> Stake:
    return Stake(COLD, STAKE, active_from=1)


def running() -> EventLog:
    """Two lanes at 80 tokens each, bound."""
    log = EventLog()
    log("Posted", requester=REQUESTER, terms=terms_values())
    log("Locked", **{"from": REQUESTER, "purpose": Purpose.REFUND, "amount": TERMS.escrow - 2 * 20 * ONE_TOKEN})
    bids = [{"provider": who, "price": 80 * ONE_TOKEN, "wrapKey": digest("key")} for who in PROVIDERS[:2]]
    for provider in PROVIDERS[:2]:
        log("Locked", **{"from": provider, "purpose": Purpose.COLLATERAL, "amount": TERMS.collateral})
    log("Accepted", bids=bids, seatCount=24)
    log("Moved", state=State.RUNNING, round=0, deadline=600)
    return log


def scored() -> EventLog:
    """Both lanes measured by seats 4 and 5; seat 6 stayed away."""
    log = running()
    for lane in (0, 1):
        log("Submitted", provider=PROVIDERS[lane], lane=lane, word=digest("word"))
    log("Moved", state=State.COMMITTING, round=1, deadline=700)
    log("Drawn", round=1, seed=digest("seed"), seats=[4, 5, 6])
    vote = pack_vote([980_000, 100_000])
    for place in (0, 1):
        log("Committed", seat=4 + place, round=1, place=place, hash=digest("commit"))
    log("Moved", state=State.REVEALING, round=1, deadline=800)
    for place in (0, 1):
        log("Revealed", seat=4 + place, round=1, place=place, vote=vote, evidence=digest("rows"))
    log("RoundScored", round=1, result=vote)
    log("Moved", state=State.SCORED, round=1, deadline=900)
    return log


def test_a_job_that_nothing_decides_yet_has_no_settlement() -> None:
    job = fold(running().events)[JOB]
    with pytest.raises(ValueError, match="neither a round nor an outcome"):
        settle(job, stake_of, STAKE)


def test_a_forecast_during_the_challenge_gives_every_unit_to_somebody() -> None:
    """P1.4, P3.3, P5.4: what goes in, slashes included, comes out; the absent owe 4f, a failing lane half of n·f."""
    job = fold(scored().events)[JOB]
    forecast = settle(job, stake_of, STAKE)
    assert forecast.outcome is Outcome.MEASURED
    assert forecast.slashes == (Slash(6, 1, Wei(4 * TERMS.fee)),)
    paid = sum(payment.amount for payment in forecast.payments)
    assert paid == job.locked + 4 * TERMS.fee
    assert [(lane.score, lane.payout) for lane in forecast.lanes] == [(980_000, 80 * ONE_TOKEN), (100_000, 0)]
    fees = [payment for payment in forecast.payments if payment.purpose is Purpose.FEE]
    assert [(fee.to, fee.amount) for fee in fees] == [(COLD, TERMS.fee)] * 2
    forfeits = [p.amount for p in forecast.payments if p.purpose is Purpose.COLLATERAL and p.to == REQUESTER]
    assert forfeits == [3 * TERMS.fee // 2]


def test_a_seat_that_left_is_neither_fined_nor_paid() -> None:
    """P5.1: its index may be somebody else's by now."""
    job = fold(scored().events)[JOB]
    forecast = settle(job, lambda seat: None, STAKE)
    assert forecast.slashes == ()
    assert not [payment for payment in forecast.payments if payment.purpose is Purpose.FEE]
    assert sum(payment.amount for payment in forecast.payments) == job.locked
