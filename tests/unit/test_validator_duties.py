"""What a validator does, and when: every stage of a round, instant by instant (P3, P4.5, P5.3)."""

from dataclasses import replace
from typing import Any

import pytest
from builders import JOB, REQUESTER, TERMS
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.chain.views import JobView, RoundView
from heldout.market.lifecycle import REQUESTER as PARTY_R
from heldout.market.lifecycle import Outcome, State
from heldout.market.terms import BlockNumber, Timestamp
from heldout.validator.duties import (
    PIN_AFTER_BLOCKS,
    SETTLE_AFTER_S,
    STAGGER_S,
    Action,
    Commit,
    Demand,
    Findings,
    Forward,
    Measure,
    Mine,
    Move,
    Pin,
    Recover,
    Reveal,
    Sight,
    calendar,
    decide,
    risk,
)
from heldout.validator.voting import Undelivered, Verdict

START = 1_000
SEED_BLOCK = 50
COMPLETE = Findings((Verdict(961_111), Verdict(950_000)), Timestamp(START))
NO_WEIGHTS = Findings((Undelivered(0, "not come"), Verdict(950_000)), Timestamp(START))
NO_ROWS = Findings((Undelivered(PARTY_R, "not come"), Undelivered(PARTY_R, "not come")), Timestamp(START))


def job(**changes: Any) -> JobView:
    """A job whose first committee has just been asked to commit; windows are 60 seconds, as in TERMS."""
    usual = JobView(
        state=State.COMMITTING,
        outcome=Outcome.NONE,
        lanes=2,
        committee=3,
        round=1,
        deadline=Timestamp(START + 60),
        stage_start=Timestamp(START),
        accept_block=BlockNumber(20),
        seed_block=BlockNumber(SEED_BLOCK),
        seat_count=24,
        submitted=frozenset({0, 1}),
        missing=frozenset(),
        demanded=frozenset(),
        pending=frozenset(),
        demanders=frozenset(),
        result=bytes(32),
    )
    return replace(usual, **changes)


def committee(**changes: Any) -> RoundView:
    usual = RoundView(
        size=3,
        seed_block=BlockNumber(SEED_BLOCK),
        seed=b"\1" * 32,
        seats=(4, 5, 6),
        committed=frozenset(),
        revealed=frozenset(),
        result=bytes(32),
        appellant=REQUESTER,
        appeal_bond=TERMS.fee,
    )
    return replace(usual, **changes)


def sight(view: JobView | None = None, round_: RoundView | None = None, **changes: Any) -> Sight:
    """Place 1 of the committee is mine: seat 5."""
    usual = Sight(JOB, TERMS, view or job(), round_ or committee(), {1: 5}, SEED_BLOCK + 3, True)
    return replace(usual, **changes)


def acts(sight: Sight, mine: Mine, now: int) -> list[Action]:
    return decide(sight, mine, Timestamp(now))


# ------------------------------------------------------------------------------------------------ committing


def test_nothing_happens_before_the_seed_block_is_deep() -> None:
    """P4.1, P5.3: a reorg may still draw other seats."""
    assert acts(sight(deep=False), Mine(COMPLETE), START + 1) == []


def test_a_seat_measures_first_and_commits_once_every_lane_has_its_verdict() -> None:
    """P3"""
    assert acts(sight(), Mine(), START + 1) == [Measure()]
    assert acts(sight(), Mine(COMPLETE), START + 2) == [Commit(1, 5)]


def test_several_seats_of_one_node_each_vote() -> None:
    """P5.2: seats are drawn, not owners."""
    assert acts(sight(places={0: 4, 2: 6}), Mine(COMPLETE), START + 2) == [Commit(0, 4), Commit(2, 6)]


def test_a_committed_seat_has_nothing_to_do_but_wait() -> None:
    done = sight(round_=committee(committed=frozenset({1})))
    assert acts(done, Mine(COMPLETE, frozenset({5})), START + 2) == []


def test_a_ballot_in_the_journal_is_committed_whatever_was_measured_since() -> None:
    """P11b, threat 28: after a crash or a reorg the same commit goes out again."""
    assert acts(sight(), Mine(None, frozenset({5})), START + 2) == [Commit(1, 5)]
    assert acts(sight(), Mine(NO_WEIGHTS, frozenset({5}), may_vote=False), START + 2) == [Commit(1, 5)]


def test_a_node_that_may_not_vote_takes_no_new_duty() -> None:
    """P9.4, threat 37: known answers failed, or no gas for the reveal."""
    assert acts(sight(), Mine(may_vote=False), START + 2) == []
    assert acts(sight(), Mine(COMPLETE, may_vote=False), START + 2) == []


@pytest.mark.parametrize("waited, demands", [(19, False), (24, True), (29, True), (30, False)])
def test_what_is_missing_after_a_third_of_the_window_is_demanded_in_its_first_half(waited: int, demands: bool) -> None:
    """P4.5: place 1 of 3 has its turn after a third and an eighteenth; from the half on it is too late."""
    done = acts(sight(), Mine(NO_WEIGHTS), START + waited)
    assert done == ([Demand(0, 1)] if demands else []) + [Measure()]


def test_the_requester_is_demanded_once_for_all_lanes() -> None:
    """P4.5"""
    assert acts(sight(), Mine(NO_ROWS), START + 25) == [Demand(PARTY_R, 1), Measure()]


def test_nobody_is_demanded_twice_in_a_stage() -> None:
    """P4.5: once per party and stage."""
    asked = sight(job(demanded=frozenset({0})))
    assert acts(asked, Mine(NO_WEIGHTS), START + 25) == [Measure()]


def test_a_committee_is_pinned_before_one_of_its_seats_demands() -> None:
    """P5.3: only a seat that is drawn on chain may demand."""
    assert acts(sight(round_=committee(seats=())), Mine(NO_WEIGHTS), START + 25) == [Pin(), Measure()]


def test_a_seed_is_pinned_by_itself_only_when_its_block_is_about_to_be_forgotten() -> None:
    """P5.3: the first commit pins it at no extra cost."""
    unpinned = sight(round_=committee(seats=()))
    assert acts(unpinned, Mine(), START + 1) == [Measure()]
    assert acts(replace(unpinned, head=SEED_BLOCK + PIN_AFTER_BLOCKS + 1), Mine(), START + 1) == [Pin(), Measure()]


@pytest.mark.parametrize("waited, votes", [(39, False), (40, True), (59, True)])
def test_the_last_third_of_the_window_votes_with_what_there_is(waited: int, votes: bool) -> None:
    """P3: an absent seat pays 4f, so a code is better than silence."""
    findings = replace(NO_WEIGHTS, as_of=Timestamp(START + 35))
    expected = [Commit(1, 5)] if votes else [Measure()]
    assert acts(sight(job(demanded=frozenset({0}))), Mine(findings), START + waited) == expected


@pytest.mark.parametrize("waited, votes", [(40, False), (49, False), (50, True)])
def test_what_is_being_measured_again_may_take_half_of_the_last_call(waited: int, votes: bool) -> None:
    """P3: weights that came late are worth a little patience, not an absence."""
    mine = Mine(replace(NO_WEIGHTS, as_of=Timestamp(START + 35)), is_measuring=True)
    expected = [Commit(1, 5)] if votes else [Measure()]
    assert acts(sight(job(demanded=frozenset({0}))), mine, START + waited) == expected


def test_no_vote_is_final_while_an_answer_is_awaited() -> None:
    """P4.5: the deadline on show is that of the answer, and the window begins anew with it."""
    awaited = sight(job(demanded=frozenset({0}), pending=frozenset({0}), deadline=Timestamp(START + 55)))
    assert acts(awaited, Mine(replace(NO_WEIGHTS, as_of=Timestamp(START + 50))), START + 54) == [Measure()]


def test_who_lacks_nothing_commits_although_others_await_an_answer() -> None:
    """P4.5"""
    awaited = sight(job(demanded=frozenset({0}), pending=frozenset({0})))
    assert acts(awaited, Mine(COMPLETE), START + 54)[0] == Commit(1, 5)


def test_what_others_demand_is_handed_on_by_who_has_it() -> None:
    """P4.3: a letter lost on the way to one seat costs its sender nothing."""
    awaited = sight(job(demanded=frozenset({0}), pending=frozenset({0})))
    assert acts(awaited, Mine(COMPLETE, frozenset({5})), START + 54) == [Commit(1, 5), Forward()]
    voted = replace(awaited, round=committee(committed=frozenset({1})))
    assert acts(voted, Mine(COMPLETE, frozenset({5})), START + 54) == [Forward()]
    assert Forward() not in acts(awaited, Mine(NO_WEIGHTS), START + 54)


def test_findings_from_before_the_answer_do_not_make_a_vote() -> None:
    """P4.5: an answer restarts the stage; what it brought is looked at before the last call counts."""
    answered = sight(job(demanded=frozenset({0}), stage_start=Timestamp(START + 30), deadline=Timestamp(START + 90)))
    stale, fresh = NO_WEIGHTS, replace(NO_WEIGHTS, as_of=Timestamp(START + 31))
    assert acts(answered, Mine(stale), START + 85) == [Measure()]
    assert acts(answered, Mine(fresh), START + 85) == [Commit(1, 5)]


def test_a_commit_that_the_journal_does_not_know_is_measured_and_recovered() -> None:
    """Threats 43, 45"""
    lost = sight(round_=committee(committed=frozenset({1})))
    assert acts(lost, Mine(), START + 5) == [Measure()]
    assert acts(lost, Mine(COMPLETE), START + 5) == [Recover(1, 5), Measure()]


# ------------------------------------------------------------------------------------------------- revealing

ALL = frozenset({0, 1, 2})
REVEALING = job(state=State.REVEALING)


def revealing(**changes: Any) -> Sight:
    return sight(REVEALING, committee(committed=ALL), **changes)


def test_a_vote_is_revealed_once_the_commits_are_deep() -> None:
    """P3.5: a reorg must not let anybody commit again after seeing it."""
    voted = Mine(COMPLETE, frozenset({5}))
    assert acts(revealing(deep=False), voted, START + 5) == []
    assert acts(revealing(), voted, START + 5) == [Reveal(1, 5)]


def test_a_reveal_does_not_wait_for_depth_beyond_half_its_window() -> None:
    """P3: an unrevealed vote costs 8f."""
    assert acts(revealing(deep=False), Mine(COMPLETE, frozenset({5})), START + 30) == [Reveal(1, 5)]


def test_a_lost_ballot_is_found_again_and_then_revealed() -> None:
    """Threat 43"""
    assert acts(revealing(), Mine(), START + 5) == [Measure()]
    assert acts(revealing(), Mine(COMPLETE), START + 5) == [Recover(1, 5), Measure()]
    assert acts(revealing(), Mine(COMPLETE, frozenset({5})), START + 5) == [Reveal(1, 5)]


def test_a_node_that_may_not_vote_still_reveals() -> None:
    """Threat 37: the reserve is for this."""
    assert acts(revealing(), Mine(None, frozenset({5}), may_vote=False), START + 5) == [Reveal(1, 5)]


@pytest.mark.parametrize("committed, revealed", [(frozenset({0, 2}), frozenset()), (ALL, frozenset({1}))])
def test_nothing_to_reveal_is_nothing_to_do(committed: frozenset[int], revealed: frozenset[int]) -> None:
    """P3: an absent seat, and one that has revealed."""
    quiet = sight(REVEALING, committee(committed=committed, revealed=revealed))
    assert acts(quiet, Mine(COMPLETE, frozenset({5})), START + 5) == []


# ------------------------------------------------------------------------------------------- deadline moves

TURN = 60 + 2 * STAGGER_S
"""Seconds from START to the turn of place 1."""


@pytest.mark.parametrize("state", [State.COMMITTING, State.REVEALING])
def test_a_stage_is_closed_in_the_order_of_places(state: State) -> None:
    """P1.1"""
    late = sight(job(state=state))
    assert acts(late, Mine(COMPLETE, frozenset({5})), START + TURN - 1) == []
    assert acts(late, Mine(COMPLETE, frozenset({5})), START + TURN) == [Move("close")]


def test_a_majority_of_commits_is_opened_by_a_first_reveal_without_a_close() -> None:
    """P3.5: a lone reveal is possible once commits have ended."""
    late = sight(round_=committee(committed=frozenset({0, 1})))
    assert acts(late, Mine(COMPLETE, frozenset({5})), START + TURN) == [Reveal(1, 5)]


def test_a_minority_of_commits_is_closed() -> None:
    """P3: no majority possible, so the next round."""
    late = sight(round_=committee(committed=frozenset({1})))
    assert acts(late, Mine(COMPLETE, frozenset({5})), START + TURN) == [Move("close")]


def test_a_demand_that_was_not_answered_is_closed_not_revealed() -> None:
    """P4.5"""
    silent = sight(job(pending=frozenset({0})), committee(committed=frozenset({0, 1})))
    assert acts(silent, Mine(COMPLETE, frozenset({5})), START + TURN) == [Move("close")]


def test_providers_and_requester_settle_before_the_committee_does() -> None:
    """P1.1"""
    scored = sight(job(state=State.SCORED))
    assert acts(scored, Mine(), START + TURN + SETTLE_AFTER_S - 1) == []
    assert acts(scored, Mine(), START + TURN + SETTLE_AFTER_S) == [Move("settle")]


def test_other_peoples_committees_are_left_to_them() -> None:
    assert acts(sight(places={}), Mine(), START + 1_000) == []


def test_a_committee_that_nobody_drew_in_time_is_everybodys() -> None:
    """P5.3: its seed block is gone, so no node can know that it sits there."""
    unknown = sight(round_=committee(seats=()), places={})
    assert acts(unknown, Mine(), START + 60 + 4 * STAGGER_S) == [Move("close")]


@given(st.sampled_from(State), st.integers(0, 200), st.booleans(), st.booleans(), st.sampled_from([None, COMPLETE]))
def test_before_the_deadline_only_actors_act_and_after_it_only_movers(
    state: State, waited: int, deep: bool, voted: bool, findings: Findings | None
) -> None:
    """P3.1: actors need t < deadline, deadline moves t >= deadline."""
    ballots = frozenset({5}) if voted else frozenset()
    done = acts(sight(job(state=state), deep=deep), Mine(findings, ballots), START + waited)
    moves = [action for action in done if isinstance(action, Move)]
    assert (not moves) if waited < 60 else (moves == done)


# ------------------------------------------------------------------------------------------------ for people


def test_the_calendar_says_by_when() -> None:
    (duty,) = calendar(sight(), Mine())
    assert (duty.seat, duty.place, duty.state) == (5, 1, "measuring")
    assert (duty.commit_by, duty.reveal_by) == (START + 60, START + 120)


@pytest.mark.parametrize(
    "seen, mine, state",
    [
        (sight(deep=False), Mine(), "drawn"),
        (sight(), Mine(NO_ROWS), "waiting for requester"),
        (sight(), Mine(NO_WEIGHTS), "waiting for lane 0"),
        (sight(), Mine(COMPLETE), "measured"),
        (sight(), Mine(COMPLETE, frozenset({5})), "voted"),
        (revealing(), Mine(COMPLETE, frozenset({5})), "committed"),
        (revealing(), Mine(), "committed, vote to be found again"),
        (sight(REVEALING), Mine(), "absent"),
        (sight(REVEALING, committee(committed=ALL, revealed=ALL)), Mine(), "revealed"),
    ],
)
def test_the_calendar_says_how_far_a_duty_is(seen: Sight, mine: Mine, state: str) -> None:
    assert [duty.state for duty in calendar(seen, mine)] == [state]


def test_a_duty_is_at_risk_in_the_last_quarter_of_its_window() -> None:
    """Issue 2, item 7: whoever must act by a deadline is told while there is time."""
    assert risk(sight(), Mine(), Timestamp(START + 44)) is None
    assert risk(sight(), Mine(), Timestamp(START + 46)) == "commit of seat 5 is due in 14 s"
    assert risk(revealing(), Mine(), Timestamp(START + 46)) == "reveal of seat 5 is due in 14 s"
    assert risk(sight(job(state=State.SCORED)), Mine(), Timestamp(START + 59)) is None
