"""A seat's vote: cast, sealed, found again, compared (P3.1, P3.5, P5.4, P9.5)."""

from dataclasses import replace

import pytest
from builders import CHAIN_ID, JOB, MARKET, digest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.lifecycle import REQUESTER
from heldout.market.messages import BAD, MISSING, NO_DATA, evidence_root, pack_vote, unpack_vote
from heldout.market.money import ONE_TOKEN, Wei
from heldout.validator.voting import (
    NO_EVIDENCE,
    Ballot,
    Domain,
    Undelivered,
    Verdict,
    cast,
    compare,
    penalties,
    rediscover,
)

DOMAIN = Domain(CHAIN_ID, MARKET, JOB, 1)
SECRET = digest("vote secret")
SCORED = Verdict(961_111, digest("predictions"))
LATE = Undelivered(0, "its weights have not come")
FINDINGS = st.lists(
    st.one_of(
        st.builds(Verdict, st.integers(0, 1_000_000), st.binary(min_size=32, max_size=32)),
        st.just(Verdict(BAD)),
        st.just(LATE),
        st.just(Undelivered(REQUESTER, "no keys")),
    ),
    min_size=1,
    max_size=3,
)


def test_a_vote_holds_a_value_and_its_evidence_for_each_lane() -> None:
    """P3.1, P9.5"""
    ballot = cast(DOMAIN, SECRET, 7, [SCORED, Verdict(BAD)])
    assert unpack_vote(ballot.vote, 2) == (961_111, BAD)
    assert ballot.evidence == evidence_root([SCORED.evidence, NO_EVIDENCE])


@pytest.mark.parametrize("party, code", [(0, MISSING), (3, MISSING), (REQUESTER, NO_DATA)])
def test_what_never_came_is_voted_as_the_fault_of_who_owed_it(party: int, code: int) -> None:
    """P3.1: MISSING is a provider's, NO_DATA the requester's."""
    assert Undelivered(party, "nothing came").value == code


@pytest.mark.parametrize(
    "other", [{"chain_id": 1}, {"market": "0x" + "44" * 20}, {"job": "0x" + "00" * 32}, {"round": 2}]
)
def test_a_commit_opens_in_one_chain_market_job_and_round_only(other: dict[str, object]) -> None:
    """P3.5: neither salt nor hash are of use anywhere else."""
    here, there = DOMAIN, replace(DOMAIN, **other)  # type: ignore[arg-type]
    assert here.salt(SECRET, 7) != there.salt(SECRET, 7)
    vote = (7, bytes(32), bytes(32), digest("salt"))
    assert here.hash(*vote) != there.hash(*vote)


def test_each_seat_has_its_own_salt_and_none_tells_another() -> None:
    """P3.5: two seats of one node that vote alike cannot be told to."""
    ballots = [cast(DOMAIN, SECRET, seat, [SCORED]) for seat in range(3)]
    assert len({ballot.hash for ballot in ballots}) == len({ballot.salt for ballot in ballots}) == 3


@given(FINDINGS)
def test_the_same_findings_make_the_same_ballot_again(findings: list[Verdict | Undelivered]) -> None:
    """Threat 43: key ring and exact scoring are enough to reveal without a journal."""
    assert cast(DOMAIN, SECRET, 7, findings) == cast(DOMAIN, SECRET, 7, findings)


@given(FINDINGS)
def test_a_ballot_survives_the_journal(findings: list[Verdict | Undelivered]) -> None:
    ballot = cast(DOMAIN, SECRET, 7, findings)
    assert Ballot.from_record(ballot.as_record()) == ballot


def test_a_vote_of_missing_is_found_again_when_the_weights_have_come_meanwhile() -> None:
    """Threat 43: what was undelivered at the commit may be here at the reveal."""
    before = cast(DOMAIN, SECRET, 7, [LATE, SCORED])
    assert rediscover(DOMAIN, SECRET, 7, [SCORED, SCORED], before.hash) == before


def test_a_foreign_commit_is_not_mistaken_for_ones_own() -> None:
    """Threat 45: the same key on another machine, with another vote."""
    foreign = cast(DOMAIN, SECRET, 7, [Verdict(123)])
    assert rediscover(DOMAIN, SECRET, 7, [SCORED], foreign.hash) is None
    assert rediscover(DOMAIN, digest("other secret"), 7, [Verdict(123)], foreign.hash) is None


def test_eight_undelivered_lanes_are_found_again_too() -> None:
    """Threat 43: the search is bounded by 3**8 hashes; here it is the last one."""
    late = [Undelivered(REQUESTER, "no keys")] * 8
    committed = cast(DOMAIN, SECRET, 7, late)
    found = rediscover(DOMAIN, SECRET, 7, late, committed.hash)
    assert found == committed


def test_a_comparison_names_the_seat_that_differs_and_why() -> None:
    votes = {0: pack_vote([961_111]), 2: pack_vote([961_110]), 1: pack_vote([MISSING])}
    same, missing, other = compare(votes, (40, 41, 42).__getitem__, [961_111])
    assert (same.seat, same.same, same.meaning) == (40, True, "the same")
    assert (missing.seat, missing.same) == (41, False) and "not delivered" in missing.meaning
    assert (other.seat, other.theirs) == (42, 961_110) and "other bytes" in other.meaning


def test_the_slashing_table_is_that_of_the_protocol() -> None:
    """P3, P5.4: 4f absent, 8f unrevealed, 8f for a wrong code, S/2 for a wrong score, nothing for being different."""
    rows = penalties(Wei(1_000 * ONE_TOKEN), Wei(2 * ONE_TOKEN))
    assert [row.amount // ONE_TOKEN for row in rows] == [8, 16, 16, 500, 0]
