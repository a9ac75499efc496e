"""Attacks on a committee's votes, each carried out with real keys on a real chain (threats 9, 12, 16, 45)."""

from collections.abc import Iterator

import pytest
from builders import digest
from court import Case, Court, held_court

from heldout.market.errors import Reverted
from heldout.market.messages import beside, pack_vote
from heldout.validator.voting import Ballot, Domain

pytestmark = [pytest.mark.attack, pytest.mark.integration]
EVIDENCE = digest("evidence")


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with held_court(tmp_path_factory.mktemp("devnet")) as court:
        yield court


def ballot(court: Court, case: Case, place: int, score: int = 900_000) -> Ballot:
    """A sound ballot of the seat at a place."""
    domain = Domain(court.network.chain_id, court.network.market, case.id, 1)
    seat, vote, salt = court.seats(case)[place], pack_vote([score]), digest(f"salt of {place}")
    return Ballot(seat, vote, EVIDENCE, salt, domain.hash(seat, vote, EVIDENCE, salt))


def refused(court: Court, who: str, function: str, *args: object) -> str:
    """The name of the error with which the contract refuses a call."""
    with pytest.raises(Reverted) as no:
        court.call(court.devnet.keys(who), function, *args)
    return no.value.name


def reveal(court: Court, case: Case, place: int, opened: Ballot) -> tuple[object, ...]:
    commits = court.chain.commits(case.id, court.chain.job(case.id), court.chain.head())
    return ("reveal", case.id, place, opened.vote, opened.evidence, opened.salt, *beside(commits, place))


def test_a_copied_commit_cannot_be_opened_by_the_copier(court: Court) -> None:
    """Threat 9, P3.5: the seat is in the hash, so laziness earns nothing."""
    case, validator = court.case(), court.devnet.keys("validator-0")
    honest = [ballot(court, case, place) for place in range(3)]
    court.call(validator, "commit", case.id, 0, honest[0].hash)
    court.call(validator, "commit", case.id, 1, honest[0].hash)  # the copy
    court.call(validator, "commit", case.id, 2, honest[2].hash)
    court.call(validator, *reveal(court, case, 0, honest[0]))
    assert refused(court, "validator-0", *reveal(court, case, 1, honest[0])) == "WrongReveal"


def test_nobody_sees_a_vote_before_all_have_committed(court: Court) -> None:
    """P3.5: commits end before the first reveal."""
    case = court.case()
    mine = ballot(court, case, 0)
    court.call(court.devnet.keys("validator-0"), "commit", case.id, 0, mine.hash)
    assert refused(court, "validator-0", *reveal(court, case, 0, mine)) == "WrongState"


def test_a_seat_cannot_change_its_mind(court: Court) -> None:
    """Threat 45, P11b: the second commit of a key that runs twice reverts."""
    case = court.case()
    court.call(court.devnet.keys("validator-0"), "commit", case.id, 0, ballot(court, case, 0).hash)
    assert refused(court, "validator-0", "commit", case.id, 0, ballot(court, case, 0, 1).hash) == "AlreadyCommitted"


def test_only_a_drawn_seats_hot_key_votes(court: Court) -> None:
    """P5.1: not the provider, not a stranger, and not in a place that is not there."""
    case = court.case()
    for who in ("provider-0", "requester"):
        assert refused(court, who, "commit", case.id, 0, ballot(court, case, 0).hash) == "NotSeat"
    assert refused(court, "validator-0", "commit", case.id, 3, digest("hash")) == "NotSeat"


@pytest.mark.parametrize("score", [0xFFFFFF04, 0xFFFFFFFF])
def test_a_vote_out_of_range_is_never_counted(court: Court, score: int) -> None:
    """Threat 16, P3.1"""
    case, validator = court.case(), court.devnet.keys("validator-0")
    wild = [ballot(court, case, place, score) for place in range(3)]
    for place, each in enumerate(wild):
        court.call(validator, "commit", case.id, place, each.hash)
    assert refused(court, "validator-0", *reveal(court, case, 0, wild[0])) == "VoteOutOfRange"
