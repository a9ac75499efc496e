"""Seats that are silent, lie, or are outvoted by liars (P3.2, P3.6, P5.4)."""

import subprocess

import pytest

from heldout.market.lifecycle import Outcome, Purpose, State
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def test_a_silent_seat_forgoes_its_fee_and_stops_nobody(town: Town) -> None:
    """P3.2: two of three are a majority; the third is simply not paid."""
    _client, job = town.post("silent", **GOOD_ENOUGH)
    with Kept(town):
        with town.stopped(job, town.lone) as seats:
            ((absent, _),) = town.lone(seats).items()
            town.until(job, "the others' commits", lambda j: len(j.rounds[0].commits) == 2)
            town.pass_deadline(job)
            scored = town.until_state(job, State.SCORED, 1)
            assert len(scored.rounds[0].votes) == 2
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.round == 1
    paid = {m.account for m in ended.money if m.purpose is Purpose.FEE}
    assert town.cold_of(absent) not in paid
    assert len(paid) >= 1
    assert ended.lanes[0].payout > 0


def test_a_lone_liar_is_outvoted_and_not_paid(town: Town) -> None:
    """P5.4: a round slashes nobody for being different, it only withholds the fee."""
    _client, job = town.post("liar", **GOOD_ENOUGH)
    with Kept(town):
        with town.stopped(job, town.lone) as seats:
            ((liar, place),) = town.lone(seats).items()
            town.vote(job, place, [123_456])
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.lanes[0].score != 123_456
    assert town.cold_of(liar) not in {m.account for m in ended.money if m.purpose is Purpose.FEE}
    assert not [m for m in ended.money if m.purpose is None], "nobody is slashed"


def test_an_appeal_overturns_a_lying_majority_and_the_liars_pay(town: Town) -> None:
    """P3.6, P5.4: seven honest seats measure again; a liar loses S/2, the appellant gains its bond."""
    _client, job = town.post("overturned", **{**GOOD_ENOUGH, "challenge": '"60 s"'})
    with Kept(town):
        with town.stopped(job, town.owners) as seats:
            town.vote_together(job, {place: [1] for place in range(3)})
            scored = town.until_state(job, State.SCORED, 1)
            assert scored.standing == (1,)
            argv = town.devnet.command("provider", "appeal", job, "-y", home="provider-0")
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        town.until_state(job, State.SCORED, 2)
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.round == 2
    assert ended.lanes[0].score not in (None, 1)
    assert ended.lanes[0].payout > 0
    slashed = [m for m in ended.money if m.purpose is None]
    assert {m.account for m in slashed} == {f"seat {seat}" for seat in seats}
    stake = town.chain.parameters().seat_stake
    assert [m.amount for m in slashed] == [stake // 2] * 3
    bond = next(m.amount for m in ended.money if m.purpose is Purpose.APPEAL_BOND and m.incoming)
    back = sum(m.amount for m in ended.money if m.purpose is Purpose.APPEAL_BOND and not m.incoming)
    assert back == 2 * bond
    assert any(m.purpose is Purpose.BURNED for m in ended.money)
