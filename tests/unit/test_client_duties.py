"""A requester's decisions: keys leave when they are due and not before, and nothing due is forgotten (P3, P4)."""

from dataclasses import replace

import pytest

from heldout.market.lifecycle import REQUESTER as REQUESTER_PARTY
from heldout.market.lifecycle import VACANT, JobState, State, fold
from heldout.market.messages import BAD, MISSING, NO_DATA, NO_KEYS, Bid, pack_vote
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.terms import BlockNumber, Timestamp
from heldout.requester_cli import duties as d
from heldout.requester_cli.duties import Offer, Policy, View, Waiving, duties, letter_name, risks, seat_name
from tests.builders import JOB, JOB_BYTES, PROVIDERS, TERMS, EventLog, digest, terms_values

POSTED_AT = 1_800_000_000
ACCEPT_BLOCK = 103
CONFIRMATIONS = 2
BIDS = [
    {"provider": PROVIDERS[i], "price": 50 * ONE_TOKEN, "wrapKey": digest(f"wrap {i}"), "job": JOB_BYTES}
    for i in range(2)
]


def offer(provider: int, price: int) -> Offer:
    bid = Bid(JOB_BYTES, PROVIDERS[provider], Wei(price * ONE_TOKEN), digest("wrap"), POSTED_AT + 60, 0)
    return Offer(bid, b"signature")


def history(*steps: str, words: tuple[bytes, bytes] = (digest("w0"), digest("w1")), result: bytes = b"") -> JobState:
    """A job after `posted` and then the named steps."""
    log = EventLog()
    log("Posted", requester=TERMS.requester, terms=terms_values())
    log("Moved", state=State.OPEN, round=0, deadline=POSTED_AT + 60)
    if "running" in steps:
        log("Accepted", bids=BIDS, seatCount=30)
        log("Moved", state=State.RUNNING, round=0, deadline=POSTED_AT + 600)
    if "demanded" in steps:
        log("Demanded", party=REQUESTER_PARTY, by=PROVIDERS[0], deadline=POSTED_AT + 300)
    if "committing" in steps:
        for lane, word in enumerate(words):
            log("Submitted", provider=PROVIDERS[lane], lane=lane, word=word)
        log("Moved", state=State.COMMITTING, round=1, deadline=POSTED_AT + 700)
    if "seats-demand" in steps:
        log("Demanded", party=REQUESTER_PARTY, by=PROVIDERS[5], deadline=POSTED_AT + 300)
    if "scored" in steps:
        log("RoundScored", round=1, result=result)
        log("Moved", state=State.SCORED, round=1, deadline=POSTED_AT + 800)
    if "settled" in steps:
        log("Settled", outcome=1, result=result)
    return fold(log.events)[JOB]


def view(job: JobState, **changes: object) -> View:
    plain: dict[str, object] = {
        "changed": BlockNumber(120),
        "head": BlockNumber(200),
        "now": Timestamp(POSTED_AT + 5),
        "confirmations": CONFIRMATIONS,
        "stage_start": Timestamp(POSTED_AT),
        "seed_block": BlockNumber(150),
    }
    return View(job=job, **{**plain, **changes})  # type: ignore[arg-type]


def names(view: View) -> list[str]:
    return [type(duty).__name__ for duty in duties(view)]


# ---------------------------------------------------------------------------------------------------- open


@pytest.mark.parametrize(("waited", "bids", "accepts"), [(29, 2, 0), (30, 2, 2), (30, 1, 0), (45, 1, 1), (59, 1, 1)])
def test_bids_are_awaited_for_half_the_window_and_scarce_ones_for_three_quarters(
    waited: int, bids: int, accepts: int
) -> None:
    offers = tuple(offer(i, 50 + i) for i in range(bids))
    found = duties(view(history(), now=Timestamp(POSTED_AT + waited), offers=offers))
    assert [len(duty.offers) for duty in found if isinstance(duty, d.Accept)] == [accepts] * bool(accepts)


def test_only_as_many_bids_as_lanes_are_accepted_the_cheapest_first() -> None:
    offers = d.best_offers([offer(0, 70), offer(1, 60), offer(2, 50), offer(0, 65)], 100 * ONE_TOKEN)
    (accept,) = duties(view(history(), now=Timestamp(POSTED_AT + 40), offers=offers))
    assert isinstance(accept, d.Accept)
    assert [o.bid.price // ONE_TOKEN for o in accept.offers] == [50, 60]


def test_bids_above_the_cap_and_second_bids_are_left_out() -> None:
    found = d.best_offers([offer(0, 101), offer(1, 90), offer(1, 80), offer(1, 85)], 100 * ONE_TOKEN)
    assert [o.bid.price // ONE_TOKEN for o in found] == [80]


def test_a_policy_can_accept_sooner_or_not_at_all() -> None:
    offers = (offer(0, 50), offer(1, 60))
    now = Timestamp(POSTED_AT + 10)
    assert names(view(history(), now=now, offers=offers, policy=Policy(accept_after=10))) == ["Accept"]
    late = Timestamp(POSTED_AT + 50)
    assert names(view(history(), now=late, offers=offers, policy=Policy(accept=False))) == []


def test_an_open_job_is_expired_at_its_deadline_to_the_second() -> None:
    """P3.1: actors need t < deadline, deadline moves t >= deadline."""
    offers = (offer(0, 50), offer(1, 60))
    assert names(view(history(), now=Timestamp(POSTED_AT + 59), offers=offers)) == ["Accept"]
    assert duties(view(history(), now=Timestamp(POSTED_AT + 60), offers=offers)) == [d.Move("expire")]


# ------------------------------------------------------------------------------------------------- running


@pytest.mark.parametrize("head", [101, 102, 103, 104, 105])
def test_training_keys_stay_until_the_splits_block_is_deep(head: int) -> None:
    """P4.1: the seed is the hash of acceptBlock + 2, and that block must be `confirmations` deep."""
    job = history("running")
    assert job.accept_block is not None
    first = job.accept_block + 2 + CONFIRMATIONS
    found = names(view(job, head=BlockNumber(head + 0)))
    assert (found == ["ReleaseTraining", "ReleaseTraining"]) is (head >= first)


def test_keys_that_were_handed_over_lately_are_not_sent_again() -> None:
    sent = frozenset({letter_name("training_keys", PROVIDERS[0].upper().replace("0X", "0x"))})
    assert duties(view(history("running"), sent=sent)) == [d.ReleaseTraining(1)]


def test_a_demand_is_answered_first_of_all_and_only_in_time() -> None:
    """P4.5."""
    job = history("running", "demanded")
    assert names(view(job))[0] == "Answer"
    assert "Answer" not in names(view(job, now=Timestamp(job.deadline)))
    assert "Answer" not in names(view(job, head=BlockNumber(ACCEPT_BLOCK)))


def test_the_requester_never_closes_a_job_over_its_own_silence() -> None:
    job = history("running", "demanded")
    assert names(view(job, now=Timestamp(job.deadline + 100))) == []


# ---------------------------------------------------------------------------------------------- committing


def test_held_out_keys_go_to_the_drawn_seats_once_each() -> None:
    job = history("running", "committing")
    assert names(view(job, seats=())) == []
    found = duties(view(job, seats=(4, VACANT, 9, 4), sent=frozenset({letter_name("held_out_keys", seat_name(9))})))
    assert found == [d.ReleaseHeldOut(4)]


def test_a_seats_demand_is_answered_only_once_the_seats_are_known() -> None:
    job = history("running", "committing", "seats-demand")
    assert "Answer" not in names(view(job, seats=()))
    assert names(view(job, seats=(1, 2, 3)))[0] == "Answer"


def test_no_held_out_key_leaves_before_the_committee_is_drawn() -> None:
    """P4.7: while providers work, nothing shown carries a held-out row."""
    for job in (history(), history("running"), history("running", "demanded")):
        found = duties(view(job, seats=(1, 2, 3)))
        assert not any(isinstance(duty, d.ReleaseHeldOut | d.ShowHeldOut) for duty in found)


# -------------------------------------------------------------------------------------------------- scored

GOOD = pack_vote([960_000, 950_000])


def test_once_scored_providers_may_check_their_scores() -> None:
    """P4.6."""
    assert duties(view(history("running", "committing", "scored", result=GOOD)))[:2] == [
        d.ShowHeldOut(0),
        d.ShowHeldOut(1),
    ]


@pytest.mark.parametrize(("waited", "demands"), [(14, False), (15, True), (29, True), (30, False)])
def test_half_b_is_demanded_in_the_second_quarter_of_the_challenge(waited: int, demands: bool) -> None:
    """P4.5: parties demand in the first half of the challenge; its provider has the first quarter to send it."""
    job = history("running", "committing", "scored", result=GOOD)
    shown = frozenset(letter_name("held_out_keys", p) for p in PROVIDERS)
    found = duties(view(job, sent=shown, complete=frozenset({1}), fetched=frozenset({1}), now=POSTED_AT + waited))
    assert found == ([d.DemandHalf(0)] if demands else [])


@pytest.mark.parametrize("score", [899_999, BAD, MISSING])
def test_nothing_is_demanded_or_fetched_of_a_lane_that_does_not_pay(score: int) -> None:
    """P4.4: R gets b of a lane that pays, and only then."""
    job = history("running", "committing", "scored", result=pack_vote([score, 950_000]))
    found = duties(view(job, complete=frozenset({0, 1}), now=Timestamp(POSTED_AT + 20)))
    assert d.DemandHalf(0) not in found and d.Fetch(0) not in found and d.Fetch(1) in found


def test_no_weights_exist_behind_no_keys() -> None:
    job = history("running", "committing", "scored", words=(NO_KEYS, digest("w")), result=pack_vote([NO_DATA, 950_000]))
    assert d.DemandHalf(0) not in duties(view(job, now=Timestamp(POSTED_AT + 20)))


def test_a_scored_job_is_settled_after_its_providers_had_their_turn() -> None:
    job = history("running", "committing", "scored", result=GOOD)
    whole = frozenset({0, 1})
    for late, expected in ((0, []), (d.STAGGER_S - 1, []), (d.STAGGER_S, [d.Move("settle")])):
        at = Timestamp(job.deadline + late)
        assert duties(view(job, now=at, complete=whole, fetched=whole)) == expected


def waiving(policy: Waiving, result: bytes = GOOD, **changes: object) -> list[d.Duty]:
    """Of a scored job with every letter sent; lanes 0 and 1 are bid for at one price."""
    job = history("running", "committing", "scored", result=result)
    shown = frozenset(letter_name("held_out_keys", p) for p in PROVIDERS)
    whole = frozenset({0, 1})
    usual: dict[str, object] = {"sent": shown, "complete": whole, "fetched": whole, "policy": Policy(waiving=policy)}
    found = duties(view(job, **{**usual, **changes}))
    return [duty for duty in found if isinstance(duty, d.Recheck | d.Waive | d.Conclude)]


def test_the_challenge_is_signed_away_by_policy_only() -> None:
    """P6.1"""
    assert waiving(Waiving.NEVER, all_waived=True) == []
    assert waiving(Waiving.TRUSTED) == [d.Waive()]
    assert waiving(Waiving.VERIFIED) == [d.Recheck()]
    assert waiving(Waiving.VERIFIED, rechecked=True) == [d.Waive()]
    assert waiving(Waiving.VERIFIED, rechecked=True, all_waived=True) == [d.Waive(), d.Conclude()]


@pytest.mark.parametrize("policy", [Waiving.TRUSTED, Waiving.VERIFIED])
@pytest.mark.parametrize("missing", [0, 1])
def test_no_challenge_is_signed_away_before_every_paid_lane_is_open_and_kept(policy: Waiving, missing: int) -> None:
    """P4.4: the half key can be demanded until then, and no longer."""
    here = frozenset({0, 1}) - {missing}
    assert waiving(policy, fetched=here, rechecked=True, all_waived=True) == []


def test_a_lane_that_pays_nothing_has_nothing_to_wait_for() -> None:
    poor = pack_vote([100_000, 950_000])
    assert waiving(Waiving.VERIFIED, poor, fetched=frozenset({1}), rechecked=True) == [d.Waive()]
    worthless = pack_vote([BAD, MISSING])
    assert waiving(Waiving.VERIFIED, worthless, fetched=frozenset()) == [d.Waive()]


def test_a_result_that_costs_the_bond_is_never_waived() -> None:
    """P4.5: NO_DATA says that this requester did not deliver."""
    assert waiving(Waiving.TRUSTED, pack_vote([NO_DATA, 950_000])) == []


def test_nothing_is_waived_while_somebody_must_answer_or_after_the_deadline() -> None:
    job = history("running", "committing", "scored", result=GOOD)
    late = Timestamp(job.deadline)
    assert waiving(Waiving.TRUSTED, now=late) == []


def test_a_foreseen_result_is_acted_on_towards_a_conclude_and_nothing_else() -> None:
    """P6.1: it is not on chain, so nothing is demanded, shown or settled for it."""
    job = history("running", "committing", "scored", result=GOOD)
    half = frozenset({0})
    usual = {"foreseen": True, "policy": Policy(waiving=Waiving.TRUSTED), "complete": half}
    early = view(job, now=Timestamp(POSTED_AT + 20), **usual)
    assert duties(early) == [d.Fetch(0)]
    whole = {**usual, "complete": frozenset({0, 1}), "fetched": frozenset({0, 1}), "all_waived": True}
    assert duties(view(job, **whole)) == [d.Waive(), d.Conclude()]
    assert duties(view(job, now=Timestamp(job.deadline + 60), **whole)) == []


def test_a_job_is_done_when_it_is_final_deep_and_fetched() -> None:
    job = history("running", "committing", "scored", "settled", result=GOOD)
    whole = frozenset({0, 1})
    assert d.is_done(view(job, complete=whole, fetched=whole))
    assert not d.is_done(view(job, complete=whole, fetched=frozenset({0})))
    assert not d.is_done(view(job, complete=whole, fetched=whole, changed=BlockNumber(199)))
    assert not d.is_done(view(history("running")))


# ------------------------------------------------------------------------------------------------- at risk


def test_a_duty_at_risk_is_told_while_there_is_time() -> None:
    assert [risk.code for risk in risks(view(history("running", "demanded")))] == ["demanded", "release_at_risk"]
    late = view(history("running", "committing"), seats=(1, 2), now=Timestamp(POSTED_AT + 690))
    assert [risk.code for risk in risks(late)] == ["release_at_risk"]
    assert [risk.code for risk in risks(view(history(), now=Timestamp(POSTED_AT + 50)))] == ["no_bids"]
    job = history("running", "committing", "scored", result=GOOD)
    assert [r.code for r in risks(view(job, now=Timestamp(job.deadline - 20)))] == ["half_key_missing"]


def test_keys_that_went_in_time_are_at_no_risk_when_they_go_again() -> None:
    job = history("running")
    late = view(job, now=Timestamp(job.deadline - 16))
    assert [risk.code for risk in risks(late)] == ["release_at_risk"]
    told = frozenset(letter_name("training_keys", p) for p in PROVIDERS)
    assert d.duties(replace(late, told=told)) and risks(replace(late, told=told)) == []


def test_nothing_is_told_when_all_is_well() -> None:
    sent = frozenset(letter_name("training_keys", p) for p in PROVIDERS)
    assert risks(view(history("running"), sent=sent)) == []
    assert risks(view(replace(history(), terms=TERMS))) == []
