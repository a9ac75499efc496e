"""Bidding is pure and always says which rule decided (P8; the oldest complaint of providers: why is there no work?)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import JOB_BYTES, PROVIDERS, REQUESTER, TERMS, EventLog, digest, terms_values
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.calling import CallForBids
from heldout.market.lifecycle import JobState, State, fold
from heldout.market.manifest import STANDARD, TIERS, Manifest, Resources, TaskFile
from heldout.market.money import ONE_TOKEN, Wei, royalty_down
from heldout.market.terms import BasisPoints, BlockNumber, Timestamp
from heldout.provider.bidding import Means, Offer, Quote, Refusal, Rule, judge, outcome_of_bid, price_up

ME = PROVIDERS[0]
DEADLINE = Timestamp(2_000_000_000)
GIB = 1 << 30
STRICT = TIERS[1]


def manifest(**resources: int) -> Manifest:
    needs = {"cpus": 1, "memory_bytes": GIB, "disk_bytes": GIB, "gpus": 0, "seconds": 360, **resources}
    return Manifest(
        files=(TaskFile("train.py", digest("train").hex(), 10),),
        image={"linux/amd64": "sha256:" + "0" * 64},
        command=("python", "/in/task/train.py"),
        resources=Resources(**needs),
        graph=TaskFile("model.onnx", digest("graph").hex(), 10),
        metric="accuracy",
        scorer="score-v1",
    )


def job(**changes: object) -> JobState:
    log = EventLog()
    terms = replace(TERMS, parents=())
    log("Posted", requester=REQUESTER, terms=terms_values(terms))
    log("Moved", state=State.OPEN, round=0, deadline=DEADLINE)
    (found,) = fold(log.events).values()
    return replace(found, terms=replace(terms, **changes)) if changes else found


OFFER = Offer(Wei(10 * ONE_TOKEN), Wei(0), cpus=2, memory_bytes=2 * GIB, disk_bytes=2 * GIB, gpus=0, jobs=2)
MEANS = Means(
    me=ME,
    platform="linux/amd64",
    free=Wei(100 * ONE_TOKEN),
    gas=Wei(ONE_TOKEN),
    gas_reserve=Wei(ONE_TOKEN // 100),
    busy=0,
    tiers=frozenset(TIERS),
)
BEFORE = Timestamp(DEADLINE - 30)


def test_a_job_that_fits_gets_a_bid_at_the_price_of_its_time_for_its_whole_window() -> None:
    assert judge(job(), manifest(), OFFER, MEANS, BEFORE) == Quote(Wei(ONE_TOKEN), DEADLINE)


@pytest.mark.parametrize(
    ("rule", "task", "offer", "means"),
    [
        (Rule.PLATFORM, {}, {}, {"platform": "linux/arm64"}),
        (Rule.CPUS, {"cpus": 3}, {}, {}),
        (Rule.MEMORY, {"memory_bytes": 3 * GIB}, {}, {}),
        (Rule.DISK, {"disk_bytes": 3 * GIB}, {}, {}),
        (Rule.GPUS, {"gpus": 1}, {}, {}),
        (Rule.TOO_LONG, {"seconds": 541}, {}, {}),
        (Rule.ABOVE_CAP, {}, {"price": Wei(1000 * ONE_TOKEN + 10)}, {}),
        (Rule.PROGRAMS_FAIL, {}, {}, {"failures": 2}),
        (Rule.PROGRAMS_FAIL, {}, {"failing": 5}, {"failures": 6}),
        (Rule.IMAGE_MISSING, {}, {}, {"image_here": False}),
        (Rule.DATA_UNAVAILABLE, {}, {}, {"data_here": False}),
        (Rule.SANDBOX, {}, {}, {"sandbox": False}),
        (Rule.BUSY, {}, {}, {"busy": 2}),
        (Rule.COLLATERAL, {}, {}, {"free": Wei(20 * ONE_TOKEN - 1)}),
        (Rule.GAS, {}, {}, {"gas": Wei(1)}),
    ],
)
def test_each_rule_speaks_for_itself(
    rule: Rule, task: dict[str, int], offer: dict[str, Wei], means: dict[str, object]
) -> None:
    verdict = judge(job(), manifest(**task), replace(OFFER, **offer), replace(MEANS, **means), BEFORE)
    assert isinstance(verdict, Refusal)
    assert verdict.rule is rule


def test_at_the_edge_of_every_rule_the_bid_is_made() -> None:
    task = manifest(cpus=2, memory_bytes=2 * GIB, disk_bytes=2 * GIB, seconds=540)
    means = replace(MEANS, free=Wei(20 * ONE_TOKEN), gas=MEANS.gas_reserve, busy=1)
    at_the_cap = replace(OFFER, price=Wei(TERMS.priceCap * 3600 // 540))
    assert isinstance(judge(job(), task, at_the_cap, means, Timestamp(DEADLINE - 1)), Quote)


def test_bids_end_when_the_window_does() -> None:
    """P3.1: actors need t < deadline."""
    verdict = judge(job(), manifest(), OFFER, MEANS, DEADLINE)
    assert isinstance(verdict, Refusal) and verdict.rule is Rule.BIDS_CLOSED


def test_a_job_that_is_past_its_bids_is_not_open() -> None:
    verdict = judge(replace(job(), state=State.RUNNING), manifest(), OFFER, MEANS, BEFORE)
    assert isinstance(verdict, Refusal) and verdict.rule is Rule.NOT_OPEN


def test_a_node_does_not_train_for_its_own_key() -> None:
    """P10: requester and provider in one hand is a wash; this node takes no part in it by accident."""
    verdict = judge(job(), manifest(), OFFER, replace(MEANS, me=REQUESTER), BEFORE)
    assert isinstance(verdict, Refusal) and verdict.rule is Rule.OWN_JOB


def test_a_task_that_cannot_be_read_is_told_as_it_is() -> None:
    refusal = Refusal(Rule.TASK_UNAVAILABLE, "no store has it")
    assert judge(job(), refusal, OFFER, MEANS, BEFORE) == refusal


@given(
    price=st.integers(1, 10**24),
    minimum=st.integers(0, 10**24),
    seconds=st.integers(0, 10**6),
    bps=st.integers(0, 2000),
)
def test_after_royalties_a_bid_still_covers_the_time_it_reserves(
    price: int, minimum: int, seconds: int, bps: int
) -> None:
    """P7.3: royalties come out of the provider's payout, so the bid is raised by what they take."""
    bid = price_up(Offer(Wei(price), Wei(minimum)), seconds, bps)
    kept = bid - royalty_down(bid, BasisPoints(bps))
    assert kept * 3600 >= price * seconds
    assert kept >= minimum
    assert kept <= max(minimum, -(-price * seconds // 3600)) + 1


def test_a_lost_bid_is_told_with_what_won() -> None:
    log = EventLog()
    bids = [
        {"job": JOB_BYTES, "provider": PROVIDERS[i + 1], "price": (i + 1) * ONE_TOKEN, "wrapKey": digest("w")}
        for i in range(2)
    ]
    log("Posted", requester=REQUESTER, terms=terms_values())
    log("Accepted", bids=bids, seatCount=24)
    (accepted,) = fold(log.events).values()
    assert outcome_of_bid(accepted, Wei(5 * ONE_TOKEN)) == "lost at 5.0000: won by 1.0000, 2.0000"
    assert "requester's choice" in outcome_of_bid(accepted, Wei(ONE_TOKEN))


def asking_strict() -> Manifest:
    return replace(manifest(), resources=replace(manifest().resources, tier=STRICT))


def test_a_strict_job_is_priced_apart() -> None:
    """Issue 5 item 3."""
    offer = replace(OFFER, strict=Wei(3 * OFFER.price))
    assert price_up(offer, 3600, 0, STRICT) == 3 * price_up(offer, 3600, 0)
    dear = replace(job(), terms=replace(job().terms, priceCap=Wei(10**30)))
    assert judge(dear, asking_strict(), offer, MEANS, BEFORE) == Quote(Wei(3 * ONE_TOKEN), DEADLINE)


@pytest.mark.parametrize(("window", "lasts"), [(60, 60), (600, 300), (7_200, 1_200)])
def test_a_bid_for_a_call_holds_its_bidder_for_a_while_only(window: int, lasts: int) -> None:
    """P2.5: nothing is locked, so the requester may withdraw; then the next look finds no money and bids no more."""
    posted = job()
    terms = replace(posted.terms, bidWindow=window)
    called = CallForBids(posted.id, terms, Timestamp(BEFORE + window)).as_job(BlockNumber(7))
    verdict = judge(called, manifest(), OFFER, MEANS, BEFORE)
    assert verdict == Quote(Wei(ONE_TOKEN), Timestamp(BEFORE + lasts))


@pytest.mark.parametrize(
    ("offer", "means"),
    [
        (replace(OFFER, strict=OFFER.price), replace(MEANS, tiers=frozenset({STANDARD}))),
        (OFFER, MEANS),
    ],
    ids=["not shown", "no price"],
)
def test_a_tier_that_was_not_shown_or_has_no_price_is_not_bid_for(offer: Offer, means: Means) -> None:
    """Issue 5 item 2: a node refuses jobs that ask for a layer it has not shown."""
    refusal = judge(job(), asking_strict(), offer, means, BEFORE)
    assert isinstance(refusal, Refusal) and refusal.rule is Rule.TIER


def test_a_node_that_has_shown_nothing_bids_for_nothing() -> None:
    refusal = judge(job(), manifest(), OFFER, replace(MEANS, tiers=frozenset()), BEFORE)
    assert isinstance(refusal, Refusal) and refusal.rule is Rule.TIER and "doctor" in refusal.text
