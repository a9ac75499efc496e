"""A result before it is posted: only what the commits on chain prove, and what the contract would make of it (P6.1)."""

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from heldout.market.foreseen import Openings
from heldout.market.lifecycle import Ending, JobState, State, fold
from heldout.market.messages import MISSING, commit_hash, pack_vote
from heldout.market.relayed import Opening, opening_letter
from heldout.market.terms import Address
from tests.builders import JOB, JOB_BYTES, PROVIDERS, EventLog, digest, terms_values

CHAIN, MARKET = 31337, "0x" + "11" * 20
SEATS = (4, 5, 6)
GOOD = pack_vote([960_000, 950_000])
YOU = Address(Account.from_key(digest("you")).address)


def opening(place: int, vote: bytes = GOOD) -> Opening:
    return Opening(place, vote, digest("rows"), digest(f"salt {place}"))


def committed(*openings: Opening) -> JobState:
    """Two lanes; these places committed, in this order, and nobody has revealed."""
    log = EventLog()
    log("Posted", requester=PROVIDERS[5], terms=terms_values())
    bids = [{"job": JOB_BYTES, "provider": a, "price": 1, "wrapKey": digest("w")} for a in PROVIDERS[:2]]
    log("Accepted", bids=bids, seatCount=24)
    log("Moved", state=State.RUNNING, round=0, deadline=10)
    for lane in range(2):
        log("Submitted", provider=PROVIDERS[lane], lane=lane, word=digest("word"))
    log("Moved", state=State.COMMITTING, round=1, deadline=20)
    log("Drawn", round=1, seed=digest("seed"), seats=SEATS)
    for each in openings:
        seat = SEATS[each.place]
        hash_ = commit_hash(CHAIN, MARKET, JOB_BYTES, 1, seat, each.vote, each.evidence, each.salt)
        log("Committed", seat=seat, round=1, place=each.place, hash=hash_)
    log("Moved", state=State.REVEALING, round=1, deadline=30)
    return fold(log.events)[JOB]


def holding(*openings: Opening, round_: int = 1) -> Openings:
    held = Openings(CHAIN, MARKET)
    for each in openings:
        held.keep(opening_letter(JOB, round_, each, PROVIDERS[7], YOU))  # by anybody
    return held


ALL = [opening(2), opening(0), opening(1)]


def test_all_openings_make_the_job_as_it_will_be_and_come_in_the_order_of_the_commits() -> None:
    foreseen = holding(*(opening(place) for place in range(3))).foresee(committed(*ALL))
    assert foreseen is not None and [each[0] for each in foreseen.as_tuples()] == [2, 0, 1]
    job = foreseen.job
    assert job.state is State.SCORED and job.standing == (960_000, 950_000) and job.deadline == 30
    assert job.rounds[-1].ending is Ending.DECIDED and job.rounds[-1].votes == dict.fromkeys((2, 0, 1), GOOD)


@pytest.mark.parametrize(
    "held",
    [ALL[:2], [*ALL[:2], opening(1, pack_vote([1, 2]))], [*ALL[:2], replace(opening(1), salt=digest("other"))]],
    ids=["one is lacking", "another vote", "another salt"],
)
def test_what_does_not_open_every_commit_foretells_nothing(held: list[Opening]) -> None:
    assert holding(*held).foresee(committed(*ALL)) is None


def test_a_forged_opening_keeps_no_good_one_out() -> None:
    assert holding(opening(1, pack_vote([1, 2])), *ALL).foresee(committed(*ALL)) is not None


def test_openings_of_another_round_open_nothing() -> None:
    assert holding(*ALL, round_=2).foresee(committed(*ALL)) is None


@pytest.mark.parametrize(
    "votes",
    [
        [GOOD, pack_vote([1, 2]), pack_vote([3, 4])],
        [pack_vote([MISSING, 950_000])] * 3,
        [GOOD, GOOD, pack_vote([0xFFFFFFFF, 1])],
    ],
    ids=["no majority", "MISSING without a demand", "no vote at all"],
)
def test_what_the_contract_would_not_score_is_not_foreseen(votes: list[bytes]) -> None:
    """P3.2, P4.5; a vote out of range makes the whole batch revert."""
    cast = [opening(place, vote) for place, vote in enumerate(votes)]
    assert holding(*cast).foresee(committed(*cast)) is None


def test_two_of_three_commits_are_enough_for_a_majority() -> None:
    foreseen = holding(*ALL[:2]).foresee(committed(*ALL[:2]))
    assert foreseen is not None and foreseen.job.standing == (960_000, 950_000)


@pytest.mark.parametrize("changes", [{"state": State.COMMITTING}, {"state": State.SCORED}])
def test_there_is_nothing_to_foresee_but_while_revealing(changes: dict[str, Any]) -> None:
    assert holding(*ALL).foresee(replace(committed(*ALL), **changes)) is None


def test_once_a_vote_is_on_chain_the_batch_is_off() -> None:
    job = committed(*ALL)
    begun = replace(job, rounds=(replace(job.rounds[0], votes={0: GOOD}),))
    assert holding(*ALL).foresee(begun) is None
