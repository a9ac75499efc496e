"""Ending a job by consent (P6.1): what is proposed, what a provider refuses to sign, and where every token goes."""

from dataclasses import replace
from typing import Any

import pytest

from heldout.market.agreeing import (
    LONGEST_VALIDITY_S,
    objection,
    outcome_letter,
    outcome_of,
    propose,
    read_score,
    shares,
)
from heldout.market.errors import BadMessage
from heldout.market.lifecycle import REQUESTER, JobState, Outcome, Purpose, State, fold
from heldout.market.messages import BAD, MISSING, NO_DATA, AgreedOutcome, pack_vote
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.terms import Address, Timestamp
from tests.builders import JOB, JOB_BYTES, PROVIDERS, TERMS, EventLog, digest, terms_values

NOW = Timestamp(1_800_000_500)
PRICE = 40 * ONE_TOKEN
ME, OTHER = PROVIDERS[0], PROVIDERS[1]


def accepted(*, result: tuple[int, int] | None = None, commits: int = 0, submitted: bool = True) -> JobState:
    """Two lanes bid for at one price: everything locked, and some seats may have committed."""
    log = EventLog()
    log("Posted", requester=TERMS.requester, terms=terms_values())
    bids = [{"job": JOB_BYTES, "provider": a, "price": PRICE, "wrapKey": digest("w")} for a in (ME, OTHER)]
    log("Locked", purpose=Purpose.REFUND, amount=2 * PRICE + 3 * TERMS.fee + TERMS.bond, **{"from": TERMS.requester})
    for a in (ME, OTHER):
        log("Locked", purpose=Purpose.COLLATERAL, amount=TERMS.collateral, **{"from": a})
    log("Accepted", bids=bids, seatCount=24)
    log("Moved", state=State.RUNNING, round=0, deadline=10)
    for lane in range(2 if submitted else 0):
        log("Submitted", provider=(ME, OTHER)[lane], lane=lane, word=digest(f"word {lane}"))
    log("Moved", state=State.COMMITTING, round=1, deadline=20)
    log("Drawn", round=1, seed=digest("seed"), seats=(4, 5, 6))
    for place in range(commits):
        log("Committed", seat=4 + place, round=1, place=place, hash=digest(f"c{place}"))
    if result:
        log("RoundScored", round=1, result=pack_vote(result))
        log("Moved", state=State.SCORED, round=1, deadline=40)
    return fold(log.events)[JOB]


def outcome(job: JobState, *scores: int) -> AgreedOutcome:
    return propose(job, scores or (980_000, 980_000), NOW + 600)


def against(job: JobState, proposed: AgreedOutcome, percent: int = 100, now: Timestamp = NOW) -> str:
    return objection(job, 0, proposed, percent, now)


def with_lane(proposed: AgreedOutcome, **changes: Any) -> AgreedOutcome:
    return replace(proposed, lanes=(replace(proposed.lanes[0], **changes), *proposed.lanes[1:]))


def test_a_proposal_pays_by_the_terms_of_the_job() -> None:
    lanes = outcome(accepted(), 980_000, 950_000).lanes
    assert [lane.payout for lane in lanes] == [PRICE, PRICE * 8125 // 10_000]
    assert [lane.word for lane in lanes] == [digest("word 0"), digest("word 1")]


def test_a_provider_signs_what_pays_its_share_and_names_its_lane_as_it_is() -> None:
    assert against(accepted(), outcome(accepted())) == ""
    assert against(accepted(), outcome(accepted(), 950_000, 0), 81) == ""


@pytest.mark.parametrize(
    "changes", [{"payout": Wei(PRICE - 1)}, {"word": digest("other")}, {"word": bytes(32)}, {"provider": OTHER}]
)
def test_a_lane_that_is_not_as_it_should_be_is_not_signed(changes: dict[str, Any]) -> None:
    assert against(accepted(), with_lane(outcome(accepted()), **changes))


def test_what_is_of_another_job_of_no_lane_yet_expired_or_binds_too_long_is_not_signed() -> None:
    job, good = accepted(), outcome(accepted())
    assert against(job, replace(good, job=digest("other")))
    assert against(job, replace(good, lanes=good.lanes[:1]))
    assert against(accepted(submitted=False), good)
    assert against(job, good, now=Timestamp(NOW + 600))
    assert against(job, replace(good, validUntil=NOW + LONGEST_VALIDITY_S + 1))
    assert against(replace(job, state=State.SETTLED), good)


def test_more_than_all_bids_would_be_refused_by_the_contract_and_is_by_the_node() -> None:
    assert against(accepted(), with_lane(outcome(accepted()), payout=Wei(2 * PRICE)))


def test_a_result_that_stands_is_never_undercut() -> None:
    """P6.6: whatever share the operator would take of an unmeasured lane. What comes to stand later can be, for as long
    as the signature is good: an hour."""
    assert LONGEST_VALIDITY_S <= 3600
    job = accepted(result=(980_000, 980_000))
    assert against(job, outcome(job, 950_000, 980_000), 50)
    assert against(job, outcome(job), 50) == ""


@pytest.mark.parametrize("score", [MISSING, BAD, NO_DATA, 0, 1, 949_999])
@pytest.mark.parametrize("standing", [None, (980_000, 980_000)], ids=["unmeasured", "measured"])
def test_a_score_that_is_not_what_is_paid_for_is_not_signed(score: int, standing: tuple[int, int] | None) -> None:
    """P6.6, P7.1: the record says it of the lane for ever."""
    job = accepted(result=standing)
    assert against(job, with_lane(outcome(job), score=score), 0)


def test_a_code_is_signed_only_where_it_stands() -> None:
    """By an operator that would sign anything."""
    standing = accepted(result=(BAD, 980_000))
    assert against(standing, outcome(standing, BAD, 980_000), 0) == ""
    assert against(accepted(), outcome(accepted(), BAD, 980_000), 0)


@pytest.mark.parametrize(
    "fault",
    [
        {"pending": frozenset({REQUESTER})},
        {"keys_withheld": frozenset({0})},
        {"outcome": Outcome.TRAINING_KEYS_WITHHELD},
        {"outcome": Outcome.HELD_OUT_KEYS_WITHHELD},
    ],
    ids=["an answer is due", "held-out keys", "training keys", "for the whole job"],
)
def test_a_requester_at_fault_is_not_let_off_its_bond(fault: dict[str, Any]) -> None:
    """P4.5, P6.6: at settlement the providers get it beside their price."""
    job = accepted(result=(980_000, 980_000))
    assert against(job, outcome(job)) == ""
    assert "bond" in against(replace(job, **fault), outcome(job), 0)


@pytest.mark.parametrize("result", [(NO_DATA, NO_DATA), (980_000, NO_DATA)])
def test_no_data_is_worth_more_than_the_price(result: tuple[int, int]) -> None:
    """P3.3: a share of the bond comes with it."""
    job = accepted(result=result)
    assert "bond" in against(job, outcome(job))


@pytest.mark.parametrize("commits", [0, 2])
def test_every_token_that_the_job_holds_is_somebodys(commits: int) -> None:
    job = accepted(commits=commits)
    rows = shares(job, outcome(job, 950_000, 0))
    assert sum(row.amount for row in rows) == job.locked
    assert [row.purpose for row in rows].count("fee") == commits
    assert rows[-1].account == TERMS.requester and rows[-1].amount > 0


def test_a_letter_brings_back_the_outcome_and_refuses_what_is_none() -> None:
    good = outcome(accepted())
    letter = outcome_letter(good, b"\1" * 65, ME, Address(TERMS.requester))
    assert outcome_of(letter) == (good, b"\1" * 65)
    lane = letter.body["lanes"][0]
    spoiled: list[dict[str, Any]] = [{"lanes": []}, {"lanes": [lane] * 9}, {"validUntil": -1}, {"signature": "x"}]
    spoiled += [{"lanes": [lane | bad]} for bad in ({"score": -1}, {"score": 1.5}, {"payout": "-1"}, {"word": "0x00"})]
    spoiled += [{"lanes": [lane | bad]} for bad in ({"provider": "0x00"}, {"more": 1}, {"payout": str(2**96)})]
    for bad in spoiled:
        with pytest.raises(BadMessage):
            outcome_of(replace(letter, body={**letter.body, **bad}))


@pytest.mark.parametrize("text, ppm", [("0.95", 950_000), ("1", 1_000_000), ("0.000001", 1), ("12.5", 12_500_000)])
def test_scores_are_read_exactly(text: str, ppm: int) -> None:
    assert read_score(text) == ppm


@pytest.mark.parametrize("text", ["", "x", "-1", ".5", "1e3", "0.1234567", "5000", "٣"])
def test_what_is_no_score_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_score(text)
