"""What a provider must do next, clause by clause: a pure function of the chain and its own record (P3, P4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import JOB, JOB_BYTES, PROVIDERS, REQUESTER, TERMS, EventLog, digest, terms_values

from heldout.market.calling import CallForBids
from heldout.market.lifecycle import REQUESTER as REQUESTER_PARTY
from heldout.market.lifecycle import Outcome, State, fold
from heldout.market.made import Sealed
from heldout.market.messages import MISSING, NO_DATA, NO_KEYS, pack_vote
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.terms import BlockNumber, Timestamp
from heldout.provider.bidding import LEAST_VALID_S, RENEWALS, valid_for
from heldout.provider.duties import (
    CONCLUDE_AFTER_S,
    MOST_FAILURES,
    NEVER_WAIVE,
    STAGGER_S,
    Standing,
    Step,
    View,
    decide,
    is_own_fault,
    is_paid,
    may_be_accepted,
    risks,
    time_to_train,
)
from heldout.provider.record import Record

ME, OTHER = PROVIDERS[0], PROVIDERS[1]
START = 1_000_000
WORD = digest("word")
FRESH = Record(JOB, BlockNumber(100))
BOUND = FRESH.but(price=Wei(ONE_TOKEN), bid_sent=True, valid_until=START + TERMS.bidWindow)
SEALED = Sealed(*(digest(name).hex() for name in ("weights", "sealed", "a", "b", "envelope", "seed")))
SUBMITTED = BOUND.but(keys="00", data_ready=True, attempts=1, weights_hash="00", sealed=SEALED, uploaded=True)


class Story:
    """A job's events told so far, as the view of one provider."""

    def __init__(self) -> None:
        self.log = EventLog()
        self.log("Posted", requester=REQUESTER, terms=terms_values())
        self.moved(State.OPEN, TERMS.bidWindow)

    def moved(self, state: State, window: int, round_: int = 0) -> Story:
        self.log("Moved", state=state, round=round_, deadline=START + window)
        return self

    def accepted(self, *providers: str) -> Story:
        bids = [
            {"job": JOB_BYTES, "provider": each, "price": 10 * ONE_TOKEN, "wrapKey": digest("w")} for each in providers
        ]
        self.log("Accepted", bids=bids, seatCount=24)
        return self.moved(State.RUNNING, TERMS.workWindow)

    def submitted(self, lane: int = 0, word: bytes = WORD) -> Story:
        self.log("Submitted", provider=ME, lane=lane, word=word)
        return self

    def committing(self, round_: int = 1) -> Story:
        return self.moved(State.COMMITTING, TERMS.commitWindow, round_)

    def scored(self, *lanes: int) -> Story:
        self.log("RoundScored", round=1, result=pack_vote(lanes))
        return self.moved(State.SCORED, TERMS.challengeWindow, 1)

    def demanded(self, party: int, window: int = 30) -> Story:
        self.log("Demanded", party=party, by=OTHER, deadline=START + window)
        return self

    def view(self, at: int = 0, *, depth: int = 50, **changes: Any) -> View:
        (job,) = fold(self.log.events).values()
        last = self.log.events[-1].block
        view = View(
            job=job,
            me=ME,
            now=Timestamp(START + at),
            head=BlockNumber(last + depth),
            changed=last,
            confirmations=2,
        )
        return replace(view, **changes)


# --------------------------------------------------------------------------------------------------- bidding


def test_an_open_job_is_judged_until_there_is_a_bid_and_then_the_bid_is_kept_alive() -> None:
    view = Story().view()
    assert decide(view, FRESH) == [Step.JUDGE]
    assert decide(view, BOUND) == [Step.SEND_BID]


def test_a_job_that_its_requester_leaves_open_for_ever_binds_nobody_for_ever() -> None:
    """Else it would hold the provider's slot and collateral, and keep one that leaves from leaving."""
    until = BOUND.valid_until - START
    story = Story()
    for at, binds in ((until, True), (until + 1, False)):
        view = story.view(at)
        assert may_be_accepted(view.job, BOUND, view.now) is binds
        assert decide(view, BOUND) == ([Step.SEND_BID] if binds else [])
    assert not may_be_accepted(story.view().job, FRESH, START)
    assert not may_be_accepted(Story().accepted(OTHER).view().job, BOUND, START)


def test_a_bid_for_a_call_is_renewed_at_half_of_its_life_and_not_beyond_the_call() -> None:
    """P2.5."""
    view = Story().view()
    window = 6 * RENEWALS * LEAST_VALID_S
    terms = replace(view.job.terms, bidWindow=window)
    called = CallForBids(view.job.id, terms, Timestamp(view.now + window)).as_job(BlockNumber(7))
    life, view = valid_for(called), replace(view, job=called)
    assert decide(view, FRESH) == [Step.JUDGE]
    for left, step in (
        (life, Step.SEND_BID),
        (life // 2, Step.SEND_BID),
        (life // 2 - 1, Step.JUDGE),
        (-1, Step.JUDGE),
    ):
        assert decide(view, BOUND.but(valid_until=view.now + left)) == [step]
    ending = replace(view, job=replace(called, deadline=Timestamp(view.now + 9)))
    assert decide(ending, BOUND.but(valid_until=view.now + 9)) == [Step.SEND_BID]
    assert decide(ending, BOUND.but(valid_until=view.now + 8)) == [Step.JUDGE]


def test_a_job_that_others_won_is_finished_once_that_is_deep() -> None:
    story = Story().accepted(OTHER)
    assert decide(story.view(depth=1), BOUND) == []
    assert decide(story.view(depth=2), BOUND) == [Step.FINISH]
    assert decide(story.view(), BOUND.but(done=True)) == []


# -------------------------------------------------------------------------------------- towards a submission


def test_keys_are_taken_only_when_the_split_is_deep() -> None:
    """P4.1: the seed is the hash of acceptBlock + 2, which must be as deep as the network says."""
    story = Story().accepted(ME)
    accepted = story.view().job.accept_block or 0
    assert decide(story.view(head=BlockNumber(accepted + 3)), BOUND) == []
    assert decide(story.view(head=BlockNumber(accepted + 4)), BOUND) == [Step.TAKE_KEYS]


@pytest.mark.parametrize(
    ("mine", "training", "step"),
    [
        (BOUND.but(keys="00"), False, Step.FETCH_DATA),
        (BOUND.but(keys="00", data_ready=True), False, Step.TRAIN),
        (BOUND.but(keys="00", data_ready=True, attempts=1), True, Step.WATCH),
        (BOUND.but(keys="00", data_ready=True, attempts=1, weights_hash="00"), True, Step.SEAL),
        (SUBMITTED.but(uploaded=False), True, Step.UPLOAD),
        (SUBMITTED, True, Step.SUBMIT),
        (BOUND.but(keys_bad=True), False, Step.SUBMIT_NO_KEYS),
    ],
)
def test_the_first_thing_that_is_missing_is_done_next(mine: Record, training: bool, step: Step) -> None:
    assert decide(Story().accepted(ME).view(training=training), mine) == [step]


READY = BOUND.but(keys="00", data_ready=True)
LAST_TENTH = TERMS.workWindow - TERMS.workWindow // 10


def failed(faults: int, of_the_node: int = 0) -> Record:
    return READY.but(attempts=faults + of_the_node, failures=faults + of_the_node, faults=faults, failure="exit code 1")


def test_a_program_that_keeps_failing_is_given_up_and_told() -> None:
    """P10: absent, the lane would pay the requester the whole collateral; so untrained weights are submitted."""
    view = Story().accepted(ME).view()
    assert decide(view, failed(MOST_FAILURES)) == [Step.STAND_IN]
    assert decide(view, failed(MOST_FAILURES - 1)) == [Step.TRAIN]
    (risk,) = risks(view, failed(MOST_FAILURES).but(untrained="exit code 1"))
    assert (risk.code, risk.message.endswith("weights that nobody trained stand in")) == ("training_failed", True)


@pytest.mark.parametrize("at", [0, LAST_TENTH, TERMS.workWindow - 1])
def test_what_this_node_failed_at_is_tried_again_and_never_stood_in_for(at: int) -> None:
    view = Story().accepted(ME).view(at)
    assert decide(view, failed(0, of_the_node=5 * MOST_FAILURES)) == [Step.TRAIN]


def test_a_program_that_failed_and_left_no_time_is_stood_in_for_before_it_is_too_late() -> None:
    """A program may fail as late as it likes."""
    story = Story().accepted(ME)
    assert decide(story.view(LAST_TENTH - 1), failed(1)) == [Step.TRAIN]
    assert decide(story.view(LAST_TENTH), failed(1)) == [Step.STAND_IN]
    job = story.view().job
    assert time_to_train(job, failed(1), Timestamp(START)) == LAST_TENTH
    assert time_to_train(job, READY, Timestamp(START)) > LAST_TENTH


@pytest.mark.parametrize(
    ("killed_by", "ran_s", "fault"),
    [
        ("", 1, True),
        ("memory", 1, True),
        ("disk", 1, True),
        ("stdout", 1, True),
        ("signal", 1, True),
        ("stopped", 1, False),
        ("deadline", 499, False),
        ("deadline", 500, True),
    ],
)
def test_what_a_program_can_bring_about_is_its_own_fault(killed_by: str, ran_s: float, fault: bool) -> None:
    """It asks for 500 s: stopped earlier, it did not have them. An owner who stops it is not its fault."""
    assert is_own_fault(killed_by, ran_s, 500, 1000) is fault


def test_a_program_that_asks_for_all_the_time_is_promised_most_of_it() -> None:
    """Its requester may be late with the keys, by a quarter of the window."""
    assert is_own_fault("deadline", 700, 900, 1000)
    assert not is_own_fault("deadline", 699, 900, 1000)


def test_nothing_is_submitted_from_the_deadline_on() -> None:
    """P3.1: actors need t < deadline, deadline moves t >= deadline."""
    story = Story().accepted(ME)
    assert decide(story.view(TERMS.workWindow - 1), SUBMITTED) == [Step.SUBMIT]
    assert decide(story.view(TERMS.workWindow), SUBMITTED) == []


@pytest.mark.parametrize(("at", "demands"), [(149, False), (150, True), (300, True), (301, False)])
def test_late_keys_are_demanded_between_patience_and_half_of_the_window(at: int, demands: bool) -> None:
    """P4.5; the contract takes demands in the first half of the stage."""
    steps = decide(Story().accepted(ME).view(at), BOUND)
    assert (Step.DEMAND_KEYS in steps) is demands


def test_keys_are_demanded_once_and_a_running_demand_of_another_is_joined() -> None:
    """P4.5: the bond goes to the providers who demanded."""
    assert decide(Story().accepted(ME).view(200), BOUND.but(demanded=True)) == [Step.TAKE_KEYS]
    joined = Story().accepted(ME, OTHER).demanded(REQUESTER_PARTY)
    assert Step.DEMAND_KEYS in decide(joined.view(1), BOUND)
    answered = joined
    answered.log("Answered", party=REQUESTER_PARTY, envelopes=b"[]", deadline=START + 700)
    assert Step.DEMAND_KEYS not in decide(answered.view(1), BOUND)


def test_who_waits_for_keys_closes_a_demand_that_nobody_answered() -> None:
    story = Story().accepted(ME).demanded(REQUESTER_PARTY, 30)
    assert Step.CLOSE not in decide(story.view(29), BOUND)
    assert decide(story.view(30), BOUND) == [Step.CLOSE]


def test_an_absent_provider_pays_no_gas_for_its_own_loss() -> None:
    assert decide(Story().accepted(ME).view(TERMS.workWindow + 60), BOUND) == []
    moved_on = Story().accepted(ME, OTHER).committing()
    assert decide(moved_on.view(), BOUND.but(keys="00")) == [Step.FINISH]


def test_who_was_left_without_keys_settles_what_the_requester_has_lost() -> None:
    """P4.5, Running: the bond goes to the demanding providers when the job is settled."""
    over = Story().accepted(ME).moved(State.SCORED, 0)
    assert decide(over.view(), BOUND.but(demanded=True)) == [Step.SETTLE]
    assert decide(over.view(), BOUND.but(demanded=True, keys="00")) == [Step.FINISH]


# ------------------------------------------------------------------------------------------------ afterwards


def test_after_the_word_the_requester_is_told_once_that_is_deep() -> None:
    story = Story().accepted(ME, OTHER).submitted()
    assert decide(story.view(depth=1), SUBMITTED) == []
    assert decide(story.view(depth=2), SUBMITTED) == [Step.TELL_REQUESTER]


def test_every_round_gets_letters_for_its_seats() -> None:
    """P4.3."""
    for round_ in (1, 2, 3):
        story = Story().accepted(ME).submitted().committing(round_)
        assert Step.DELIVER in decide(story.view(), SUBMITTED)


def test_a_demand_is_answered_in_time_or_not_at_all() -> None:
    """P4.5: Committing | P: weights."""
    story = Story().accepted(ME).submitted().committing().demanded(0, 30)
    assert Step.ANSWER in decide(story.view(29), SUBMITTED)
    assert decide(story.view(30), SUBMITTED)[-1] is Step.CLOSE
    assert Step.ANSWER not in decide(story.view(30), SUBMITTED)
    assert [risk.code for risk in risks(story.view(29), SUBMITTED)] == ["demanded"]


def test_a_lane_without_keys_owes_nothing_but_answers() -> None:
    mine = BOUND.but(keys_bad=True)
    story = Story().accepted(ME).submitted(word=NO_KEYS).committing().demanded(0, 30)
    assert decide(story.view(), mine) == [Step.ANSWER]


@pytest.mark.parametrize(
    ("score", "paid"), [(950_000, True), (900_000, True), (899_999, False), (MISSING, False), (NO_DATA, True)]
)
def test_half_b_goes_to_the_requester_of_a_lane_that_pays_and_of_no_other(score: int, paid: bool) -> None:
    """P4.4."""
    view = Story().accepted(ME).submitted().committing().scored(score).view()
    assert is_paid(view.job, 0) is paid
    assert (Step.GIVE_HALF in decide(view, SUBMITTED)) is paid


@pytest.mark.parametrize(
    ("score", "waive_at", "waives"),
    [
        (980_000, 100, True),
        (950_000, 100, False),
        (950_000, 81, True),
        (950_000, 82, False),
        (899_999, 1, False),
        (MISSING, 0, True),
        (NO_DATA, 100, True),
        (980_000, NEVER_WAIVE, False),
    ],
)
def test_a_lane_waives_from_the_share_of_its_bid_that_its_operator_named(
    score: int, waive_at: int, waives: bool
) -> None:
    """P6.1: 950,000 between 900,000 and 980,000 pays 81.25 % of the bid."""
    view = Story().accepted(ME).submitted().committing().scored(score).view(waive_at=waive_at)
    assert (Step.WAIVE in decide(view, SUBMITTED)) is waives


def test_nothing_is_waived_while_it_may_be_reorganised_away_or_a_demand_runs_or_too_late() -> None:
    story = Story().accepted(ME).submitted().committing().scored(980_000)
    assert Step.WAIVE not in decide(story.view(depth=1, waive_at=100), SUBMITTED)
    late = decide(story.view(at=TERMS.challengeWindow, waive_at=100), SUBMITTED)
    assert Step.WAIVE not in late
    assert Step.WAIVE not in decide(story.demanded(0).view(waive_at=100), SUBMITTED)


def test_the_half_key_leaves_before_the_waiver_and_the_requester_posts_first() -> None:
    story = Story().accepted(ME).submitted().committing().scored(980_000)
    view = story.view(at=10, waive_at=100, waived_since=Timestamp(START + 10))
    steps = decide(view, SUBMITTED)
    assert steps.index(Step.GIVE_HALF) < steps.index(Step.WAIVE) and Step.CONCLUDE not in steps
    later = replace(view, now=Timestamp(START + 10 + CONCLUDE_AFTER_S))
    assert decide(later, SUBMITTED)[-1] is Step.CONCLUDE


def test_a_foreseen_result_is_acted_on_towards_a_conclude_and_nothing_else() -> None:
    """P6.1: half b, then the waiver; no letter to seats, no deadline move."""
    story = Story().accepted(ME).submitted().committing().scored(980_000)
    view = story.view(waive_at=100, foreseen=True, waived_since=Timestamp(START - CONCLUDE_AFTER_S))
    assert decide(view, SUBMITTED) == [Step.GIVE_HALF, Step.WAIVE, Step.CONCLUDE]
    assert decide(replace(view, now=view.job.deadline), SUBMITTED) == []
    poor = Story().accepted(ME).submitted().committing().scored(100_000).view(waive_at=100, foreseen=True)
    assert decide(poor, SUBMITTED) == []


def test_half_b_stays_here_while_the_result_could_still_be_reorganised_away() -> None:
    story = Story().accepted(ME).submitted().committing().scored(950_000)
    assert Step.GIVE_HALF not in decide(story.view(depth=1), SUBMITTED)
    assert Step.GIVE_HALF in decide(story.view(depth=2), SUBMITTED)


@pytest.mark.parametrize("lane", [0, 1])
def test_lanes_leave_the_deadline_move_to_those_before_them_for_a_while(lane: int) -> None:
    providers = (ME, OTHER) if lane == 0 else (OTHER, ME)
    story = Story().accepted(*providers).submitted(0).submitted(1).committing().scored(950_000, 950_000)
    end = TERMS.challengeWindow + STAGGER_S * lane
    assert Step.SETTLE not in decide(story.view(end - 1), SUBMITTED)
    assert Step.SETTLE in decide(story.view(end), SUBMITTED)


def test_a_settled_job_is_cleared_away_once_that_is_deep_and_what_was_paid_for_is_sent() -> None:
    """P4.4: a node that slept through the challenge still owes half b to who has paid."""
    story = Story().accepted(ME).submitted().committing().scored(950_000)
    story.log("LaneSettled", lane=0, score=950_000, payout=7 * ONE_TOKEN, provider=ME)
    story.log("Settled", outcome=Outcome.MEASURED, result=pack_vote([950_000]))
    assert decide(story.view(depth=1), SUBMITTED) == []
    assert decide(story.view(), SUBMITTED) == [Step.GIVE_HALF]
    assert decide(story.view(), SUBMITTED.but(half_given=True)) == [Step.FINISH]
    assert decide(story.view(), SUBMITTED.but(half_given=True, done=True)) == []


def test_a_submission_at_risk_is_told_in_the_last_quarter_of_the_window() -> None:
    story = Story().accepted(ME)
    assert risks(story.view(449), BOUND) == []
    assert [risk.code for risk in risks(story.view(460), BOUND)] == ["submit_at_risk"]
    assert risks(Story().accepted(OTHER).view(460), BOUND) == []


@pytest.mark.parametrize(("frozen", "words"), [(True, "stays frozen"), (False, "goes on against the owner's wish")])
def test_a_training_that_can_stand_still_no_longer_is_told(frozen: bool, words: str) -> None:
    view = Story().accepted(ME).view(training=True)
    (risk,) = risks(replace(view, standing=Standing("outside the hours", frozen, at_risk=True)), BOUND)
    assert risk.code == "frozen_at_risk" and words in risk.message and "outside the hours" in risk.message
    assert not risks(replace(view, standing=Standing("outside the hours", frozen, at_risk=False)), BOUND)
