"""When a seat leaves its vote to a batch, when it posts one, and when it goes alone (P6.1): second by second."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.lifecycle import State
from heldout.market.terms import Timestamp
from heldout.validator.duties import (
    STAGGER_S,
    Commit,
    CommitAll,
    Measure,
    Mine,
    Offer,
    Open,
    Recover,
    Reveal,
    RevealAll,
)
from heldout.validator.exchanging import Exchange
from tests.unit.test_validator_duties import COMPLETE, NO_WEIGHTS, SEED_BLOCK, START, acts, committee, job, sight

VOTED = frozenset({5})
OFFER, OPEN = Offer(((1, 5),)), Open(((1, 5),))


def mine(since: int | None = None, whole: int | None = None, *, grace: int = 120, **changes: Any) -> Mine:
    """A node that has measured all; seconds after the start of the stage."""
    times = [None if at is None else Timestamp(START + at) for at in (since, whole)]
    return replace(Mine(COMPLETE, VOTED, exchange=Exchange(grace, *times)), **changes)


def revealing(**changes: Any) -> Any:
    """All three have committed; this node's is place 1. The window is 60 seconds."""
    round_ = committee(committed=frozenset({0, 1, 2}), **changes)
    return sight(job(state=State.REVEALING, deadline=Timestamp(START + 60)), round_)


def test_a_measured_vote_is_offered_before_it_is_committed() -> None:
    assert acts(sight(), mine(ballots=frozenset()), START + 2) == [OFFER]
    assert acts(sight(), mine(2), START + 3) == [OFFER]


def test_without_a_grace_there_is_the_plain_road_only() -> None:
    assert acts(sight(), mine(grace=0), START + 2) == [Commit(1, 5)]
    assert acts(revealing(), mine(grace=0), START + 2) == [Reveal(1, 5)]


@pytest.mark.parametrize("grace, alone", [(120, 15), (6, 6)])
def test_a_grace_ends_after_its_seconds_or_a_quarter_of_the_stage(grace: int, alone: int) -> None:
    for waited in range(40):
        done = acts(sight(), mine(0, grace=grace), START + waited)
        assert done == ([Commit(1, 5)] if waited >= alone else [OFFER])


def test_whose_message_was_the_last_posts_at_once_and_the_others_by_place() -> None:
    assert acts(sight(), mine(3, 3), START + 3) == [OFFER, CommitAll()]
    for waited in range(15):
        posts = CommitAll() in acts(sight(), mine(0, 1), START + waited)
        assert posts is (waited >= 1 + 2 * STAGGER_S)


def test_a_commit_that_came_by_itself_ends_the_wait() -> None:
    """commitAll takes all or none: there is nothing left to wait for."""
    assert acts(sight(round_=committee(committed=frozenset({0}))), mine(0, 1), START + 2) == [Commit(1, 5)]


def test_in_the_last_third_nobody_offers_any_more() -> None:
    assert acts(sight(), mine(), START + 39) == [OFFER]
    assert acts(sight(), mine(), START + 40) == [Commit(1, 5)]
    lacking = replace(NO_WEIGHTS, as_of=Timestamp(START + 35))
    assert acts(sight(job(demanded=frozenset({0}))), Mine(lacking, exchange=Exchange(120)), START + 40) == [
        Commit(1, 5)
    ]


def test_what_is_still_measured_is_not_offered() -> None:
    assert acts(sight(), Mine(exchange=Exchange(120)), START + 2) == [Measure()]


def test_a_node_that_cannot_pay_for_its_duty_signs_no_new_vote() -> None:
    assert acts(sight(), mine(ballots=frozenset(), may_vote=False), START + 2) == []


def test_no_opening_leaves_before_the_commits_are_deep() -> None:
    """P3.5: not even when it is time to reveal deep or not; that is this seat's own transaction."""
    shallow = replace(revealing(), deep=False)
    for waited in range(60):
        done = acts(shallow, mine(0, 1), START + waited)
        assert done == ([Reveal(1, 5)] if waited >= 30 else [])


def test_openings_are_sent_then_posted_then_revealed_alone() -> None:
    assert acts(revealing(), mine(), START + 1) == [OPEN]
    assert acts(revealing(), mine(1, 1), START + 1) == [OPEN, RevealAll()]
    assert acts(revealing(), mine(1), START + 16) == [Reveal(1, 5)]
    assert acts(revealing(revealed=frozenset({0})), mine(1, 1), START + 2) == [Reveal(1, 5)]


def test_a_vote_that_was_lost_is_measured_again_meanwhile() -> None:
    """Threat 43: two seats of one node, one of them with a lost ballot."""
    lost = replace(revealing(), places={1: 5, 2: 6})
    assert acts(lost, mine(1), START + 2) == [OPEN, Recover(2, 6), Measure()]


def test_openings_of_a_part_of_the_committee_are_posted_too() -> None:
    """A commit is missing, and somebody closed the stage: what counts is all commits, not all seats."""
    part = replace(revealing(), round=committee(committed=frozenset({0, 1})))
    assert acts(part, mine(1, 1), START + 2) == [OPEN, RevealAll()]


@given(
    st.integers(0, 59),
    st.one_of(st.none(), st.integers(0, 59)),
    st.one_of(st.none(), st.integers(0, 59)),
    st.integers(0, 10_000),
)
def test_whatever_the_others_do_the_last_third_finds_the_own_commit(
    now: int, since: int | None, whole: int | None, grace: int
) -> None:
    """P6.1: silence, lies and late messages move the first own commit by the grace at most, and never past 2/3."""
    done = acts(sight(), mine(since, whole, grace=grace), START + now)
    went_alone = Commit(1, 5) in done
    assert went_alone or OFFER in done
    if now >= 40 or not grace or (since is not None and now >= since + min(grace, 15)):
        assert went_alone and CommitAll() not in done


def test_the_seed_block_must_be_deep_before_anything_is_offered() -> None:
    assert acts(sight(deep=False, head=SEED_BLOCK), mine(), START + 1) == []


def test_reveals_are_left_to_willing_parties_for_one_grace_and_go_alone_after_another() -> None:
    """They conclude with the openings, and the seats pay nothing; half of the window is the end of all waiting."""
    theirs = Exchange(6, Timestamp(START), Timestamp(START), parties=True)
    found = [acts(revealing(), mine(exchange=theirs), START + waited) for waited in range(13)]
    assert found[:6] == [[OPEN]] * 6
    assert found[6:10] == [[OPEN]] * 4 and found[10:12] == [[OPEN, RevealAll()]] * 2  # place 1 has its turn 4 s later
    assert found[12] == [Reveal(1, 5)]
    slow = replace(theirs, grace_s=120)
    assert acts(revealing(), mine(exchange=slow), START + 30) == [Reveal(1, 5)]
