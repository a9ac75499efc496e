"""The fold of chain events into a job (P3), and what anyone may do at a deadline (P1.1)."""

from dataclasses import replace

import pytest

from heldout.market.lifecycle import (
    REQUESTER,
    JobState,
    Outcome,
    Purpose,
    State,
    deadline_move,
    fold,
    if_nobody_acts,
    lane_pays,
    transition,
)
from heldout.market.messages import BAD, MISSING, NO_DATA, pack_vote
from heldout.market.money import Ppm, Wei
from heldout.market.terms import Timestamp
from tests.builders import JOB, PROVIDERS, TERMS, EventLog, digest, terms_values
from tests.builders import REQUESTER as R

ESCROW = TERMS.escrow


def honest_job() -> EventLog:
    """Two lanes, three seats, one pays and one is below the floor."""
    log = EventLog()
    log("Posted", requester=R, terms=terms_values())
    log("Locked", **{"from": R, "purpose": Purpose.REFUND, "amount": ESCROW})
    log("Moved", state=1, round=0, deadline=1_000)
    bids = [{"provider": p, "price": 50, "wrapKey": digest(p)} for p in PROVIDERS[:2]]
    log("Accepted", bids=bids, seatCount=24)
    log("Moved", state=2, round=0, deadline=2_000)
    for lane in range(2):
        log("Submitted", provider=PROVIDERS[lane], lane=lane, word=digest(f"word {lane}"))
    log("Moved", state=3, round=1, deadline=3_000)
    log("Drawn", round=1, seed=digest("seed"), seats=[4, 9, 17])
    for place, seat in enumerate([4, 9, 17]):
        log("Committed", seat=seat, round=1, place=place, hash=digest(f"commit {place}"))
    log("Moved", state=4, round=1, deadline=4_000)
    vote = pack_vote([960_000, 100_000])
    for place, seat in enumerate([4, 9, 17]):
        log("Revealed", seat=seat, round=1, place=place, vote=vote, evidence=digest("rows"))
    log("RoundScored", round=1, result=vote)
    log("Moved", state=5, round=1, deadline=5_000)
    log("LaneSettled", lane=0, provider=PROVIDERS[0], score=960_000, payout=43)
    log("LaneSettled", lane=1, provider=PROVIDERS[1], score=100_000, payout=0)
    log("Paid", to=PROVIDERS[0], purpose=Purpose.PAYOUT, amount=43)
    log("Paid", to=R, purpose=Purpose.REFUND, amount=ESCROW - 43)
    log("Settled", outcome=1, result=vote)
    return log


def job_after(log: EventLog) -> JobState:
    return fold(log.events)[JOB]


def test_an_honest_job_ends_measured_and_its_money_sums() -> None:
    """P1.4, P3"""
    job = job_after(honest_job())
    assert (job.state, job.outcome, job.final) == (State.SETTLED, Outcome.MEASURED, True)
    assert job.sums
    assert job.money_in == ESCROW
    assert [lane.payout for lane in job.lanes] == [43, 0]
    assert job.standing == (960_000, 100_000)
    assert job.rounds[0].seats == (4, 9, 17)
    assert len(job.rounds[0].votes) == 3


def test_money_that_does_not_sum_is_noticed() -> None:
    """P11 (a)"""
    log = honest_job()
    short = [e for e in log.events if e.name != "Paid" or e.args["purpose"] != Purpose.PAYOUT]
    assert not fold(short)[JOB].sums


def test_every_prefix_of_a_history_folds_and_never_pays_more_than_it_got() -> None:
    """P1.4 holds after every event, not only at the end."""
    events = honest_job().events
    for end in range(1, len(events) + 1):
        job = fold(events[:end])[JOB]
        assert job.money_out <= job.money_in


def test_events_of_another_job_change_nothing() -> None:
    job = job_after(honest_job())
    other = EventLog(digest("another job"))("Settled", outcome=8, result=bytes(32))
    assert transition(job, other) is job
    assert transition(None, other) is None


def test_a_demand_moves_the_deadline_and_an_answer_lifts_it() -> None:
    """P4.5"""
    log = honest_job()
    log.events = log.events[:8]
    log("Demanded", party=REQUESTER, by=PROVIDERS[0], deadline=3_500)
    waiting = job_after(log)
    assert waiting.pending == {REQUESTER}
    assert waiting.deadline == 3_500
    assert "requester did not answer" in if_nobody_acts(waiting)
    log("Answered", party=REQUESTER, envelopes=b"[]", deadline=3_900)
    answered = job_after(log)
    assert answered.pending == frozenset()
    assert answered.demanded == {REQUESTER}
    assert answered.answers == ((State.COMMITTING, 1, REQUESTER, b"[]"),)
    log("Moved", state=3, round=2, deadline=6_000)
    assert job_after(log).demanded == frozenset(), "a new round may demand again"


def test_a_second_demand_does_not_hide_the_first() -> None:
    """P4.5: each `Demanded` follows a `Moved` of the same stage; whoever was asked before still owes an answer."""
    log = honest_job()
    log.events = log.events[:8]
    for party in (0, REQUESTER):
        log("Moved", state=3, round=1, deadline=3_500 + party)
        log("Demanded", party=party, by=PROVIDERS[0], deadline=3_500 + party)
    assert job_after(log).pending == {0, REQUESTER}
    log("Answered", party=REQUESTER, envelopes=b"[]", deadline=3_508)
    assert job_after(log).pending == {0}


@pytest.mark.parametrize(
    ("state", "move"),
    [
        (State.OPEN, "expire"),
        (State.RUNNING, "close"),
        (State.COMMITTING, "close"),
        (State.REVEALING, "close"),
        (State.SCORED, "settle"),
        (State.SETTLED, None),
    ],
)
def test_every_state_but_the_last_has_a_move_for_anyone_at_its_deadline(state: State, move: str | None) -> None:
    """P1.1: a vanished party never traps money. Deadline moves need t >= deadline."""
    job = replace(job_after(honest_job()), state=state, deadline=Timestamp(500))
    assert deadline_move(job, Timestamp(499)) is None
    assert deadline_move(job, Timestamp(500)) == move
    assert if_nobody_acts(job)


def test_an_unanswered_demand_in_the_challenge_is_closed_before_settling() -> None:
    """P4.5"""
    job = replace(job_after(honest_job()), state=State.SCORED, deadline=Timestamp(5), pending=frozenset({0}))
    assert deadline_move(job, Timestamp(5)) == "close"


def test_what_a_standing_score_pays() -> None:
    """P3.3: codes for the provider's fault pay nothing, NO_DATA pays in full."""
    assert lane_pays(TERMS, Wei(100), 980_000) == 100
    assert lane_pays(TERMS, Wei(100), 899_999) == 0
    assert lane_pays(TERMS, Wei(100), BAD) == 0
    assert lane_pays(TERMS, Wei(100), MISSING) == 0
    assert lane_pays(TERMS, Wei(100), NO_DATA) == 100
    lower = replace(TERMS, floor=Ppm(100), target=Ppm(50))
    assert lane_pays(lower, Wei(100), 50) == 100


def test_a_lane_is_found_by_its_provider_in_any_case() -> None:
    job = job_after(honest_job())
    assert job.lane_of(PROVIDERS[1].upper().replace("0X", "0x")) == 1
    assert job.lane_of(R) is None
