"""The bid board and the mailboxes: who may leave what for whom (P8), before any HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from heldout.market.errors import BadMessage, HeldoutError, Refused
from heldout.market.jsontext import canonical_json
from heldout.market.lifecycle import VACANT
from heldout.market.messages import BULLETIN, Kind, Letter
from heldout.market.money import Wei
from heldout.market.runrecord import RunRecord, read_record
from heldout.market.service import database as db
from heldout.market.service.holdings import Holdings
from heldout.market.service.letters import MOST_BYTES, MOST_ON_THE_BOARD, Letters, NotYetKnown
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, JobId
from tests.builders import JOB, REQUESTER, TERMS, digest
from tests.databases import database_of
from tests.letter_board import HOT, IDLE_HOT, KEEPER, NETWORK, NOW, PROVIDER, RIVAL, STRANGER, Board, bid

RAN = RunRecord(
    JOB,
    Address(PROVIDER.address),
    0,
    1,
    0,
    "",
    5000,
    4900,
    1 << 28,
    4096,
    "sha256:" + "0" * 64,
    "standard",
    "1" * 64,
    "2" * 64,
)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    engine = database_of(tmp_path / "service.db")
    yield Board(engine)
    engine.dispose()


def code_of(refused: pytest.ExceptionInfo[HeldoutError]) -> str:
    return refused.value.code


# ------------------------------------------------------------------------------------------------------------ bids


def test_what_was_erased_cannot_be_left_again(board: Board, tmp_path: Path) -> None:
    """A bid needs nobody signed in: whoever kept a copy could bring it back."""
    board.letters.post(bid(), None)
    engine = database_of(tmp_path / "service.db")
    assert Holdings(engine).erase(checksummed(PROVIDER.address), live=True)["letters"] == 1
    with pytest.raises(Refused) as refused:
        board.letters.post(bid(), None)
    assert (code_of(refused), board.letters.bids(JOB)) == ("erased", [])
    engine.dispose()


def test_a_letter_that_is_erased_while_it_comes_in_again_does_not_stay(board: Board, tmp_path: Path) -> None:
    """Threat 79: its receiver could erase nothing any more, for its hash would be among the erased already."""
    engine = database_of(tmp_path / "service.db")
    holdings, provider = Holdings(engine), checksummed(PROVIDER.address)
    board.accept()
    board.happens("Moved", state=3, round=1, deadline=NOW + 600)  # the chain is asked for the seats

    def meanwhile(job: JobId) -> tuple[bytes, tuple[int, ...]]:
        board.market.committee = lambda job: (b"", ())  # type: ignore[method-assign]
        assert board.post(provider, REQUESTER)
        holdings.erase(provider, live=True)
        return b"", ()

    board.market.committee = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Refused) as refused:
        board.post(provider, REQUESTER)
    assert (code_of(refused), board.letters.mail(checksummed(REQUESTER), 0, None)) == ("erased", [])
    engine.dispose()


def test_a_letter_that_was_erased_before_can_be_erased_again(board: Board, tmp_path: Path) -> None:
    """Threat 79: an older service may have kept one, and it would stop all of its receiver's erasing."""
    engine = database_of(tmp_path / "service.db")
    board.letters.post(bid(), None)
    with db.writing(engine).begin() as connection:
        connection.execute(insert(db.erased).from_select(["hash"], select(db.letters.c.hash)))
    assert Holdings(engine).erase(checksummed(PROVIDER.address), live=True)["letters"] == 1
    engine.dispose()


def test_a_signed_bid_is_on_the_board_once_with_nobody_signed_in(board: Board) -> None:
    assert board.letters.post(bid(), None)
    assert not board.letters.post(bid(), None)
    (shown,) = board.letters.bids(JOB)
    assert shown["letter"]["body"]["price"] == "7"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": Wei(TERMS.priceCap + 1)}, "bid_above_cap"),
        ({"validUntil": NOW}, "bid_expired"),
        ({"job": digest("other")}, "not_found"),
        ({"signer": RIVAL}, "bad_signature"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_bid_that_could_never_be_accepted_is_refused(board: Board, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(HeldoutError) as refused:
        board.letters.post(bid(**changes), None)
    assert code_of(refused) == code
    assert board.letters.bids(JOB) == []


@pytest.mark.parametrize("field", ["price", "wrapKey", "validUntil", "nonce", "signature"])
@pytest.mark.parametrize("value", [None, "", [], {}, "0x00", "é", -1, 2**64, 2**300, 1.5, True], ids=str)
def test_any_spoiled_field_of_a_bid_is_a_clear_error(board: Board, field: str, value: Any) -> None:
    """Nor does one get through that the contract could not be called with: it would break the requester's `accept`."""
    spoiled = bid()
    spoiled.body[field] = value
    with pytest.raises((BadMessage, Refused)):
        board.letters.post(spoiled, None)
    assert board.letters.bids(JOB) == []


def test_a_bid_needs_its_collateral_in_the_market(board: Board) -> None:
    """Threat 89: otherwise bids cost nothing at all."""
    board.market.free_ = Wei(TERMS.collateral - 1)
    with pytest.raises(Refused) as refused:
        board.letters.post(bid(), None)
    assert code_of(refused) == "unfunded_bid"


def test_bids_end_when_the_job_is_accepted(board: Board) -> None:
    board.accept()
    with pytest.raises(Refused) as refused:
        board.letters.post(bid(), None)
    assert code_of(refused) == "bids_closed"


def test_a_bidder_cannot_fill_the_board(board: Board) -> None:
    """Threat 89."""
    for nonce in range(MOST_ON_THE_BOARD):
        board.letters.post(bid(nonce=nonce), None)
    with pytest.raises(Refused) as refused:
        board.letters.post(bid(nonce=99), None)
    assert code_of(refused) == "too_many_letters"
    board.letters.post(bid(RIVAL), None)


def test_a_bid_is_for_everybody(board: Board) -> None:
    with pytest.raises(BadMessage):
        board.letters.post(replace(bid(), receiver=REQUESTER), None)


# --------------------------------------------------------------------------------------------------------- private


def test_parties_write_to_each_other_and_each_reads_its_own(board: Board) -> None:
    board.accept()
    assert board.post(REQUESTER, PROVIDER.address)
    assert not board.post(REQUESTER, PROVIDER.address)
    (mine,) = board.letters.mail(Address(PROVIDER.address.lower()), 0, None)
    assert mine["letter"]["body"] == {"envelope": "sealed"}
    assert board.letters.mail(Address(PROVIDER.address), mine["number"], None) == []
    assert board.letters.mail(Address(PROVIDER.address), 0, JobId("0x" + "00" * 32)) == []
    assert board.letters.mail(REQUESTER, 0, None) == []


@pytest.mark.parametrize("session", [None, STRANGER], ids=["nobody", "another"])
def test_nobody_writes_in_anothers_name(board: Board, session: str | None) -> None:
    """Threat 79."""
    board.accept()
    with pytest.raises(Refused) as refused:
        board.post(REQUESTER, PROVIDER.address, session)
    assert code_of(refused) == "sign_in"


ROLES = {
    "requester": REQUESTER,
    "provider": PROVIDER.address,
    "drawn seat": HOT,
    "idle seat": IDLE_HOT,
    "stranger": STRANGER,
}
PARTIES = ("requester", "provider", "drawn seat")


@pytest.mark.parametrize("sender", ROLES)
@pytest.mark.parametrize("receiver", ROLES)
def test_only_parties_of_the_job_write_and_are_written_to(board: Board, sender: str, receiver: str) -> None:
    """Threat 79: the whole matrix."""
    board.accept()
    board.happens("Moved", state=3, round=1, deadline=NOW + 700)
    board.happens("Drawn", round=1, seed=digest("seed"), seats=[4, VACANT, VACANT])
    if sender in PARTIES and receiver in PARTIES:
        assert board.post(ROLES[sender], ROLES[receiver])
        return
    with pytest.raises(Refused) as refused:
        board.post(ROLES[sender], ROLES[receiver])
    assert code_of(refused) == "not_a_party"


@pytest.mark.parametrize("kind", list(Kind))
def test_a_keeper_brings_what_releases_keys_and_nothing_else_in_a_requesters_name(board: Board, kind: Kind) -> None:
    """Decision 24: envelopes open or do not, whoever carries them; a waiver is the requester's own."""
    board.accept()
    if kind not in (Kind.TRAINING_KEYS, Kind.HELD_OUT_KEYS):
        with pytest.raises((Refused, BadMessage)):
            board.post(REQUESTER, PROVIDER.address, session=KEEPER, kind=kind)
        return
    assert board.post(REQUESTER, PROVIDER.address, session=KEEPER, kind=kind)
    for sender, receiver, code in ((PROVIDER.address, REQUESTER, "sign_in"), (REQUESTER, STRANGER, "not_a_party")):
        with pytest.raises(Refused) as refused:
            board.post(sender, receiver, session=KEEPER, kind=kind)
        assert code_of(refused) == code


def test_seats_are_parties_from_the_draw_on_even_before_it_is_pinned(board: Board) -> None:
    """P5.3: no event names the committee before its first commit."""
    board.accept()
    board.happens("Moved", state=3, round=1, deadline=NOW + 700)
    with pytest.raises(Refused):
        board.post(PROVIDER.address, HOT)
    board.market.drawn = (4, VACANT, VACANT)
    assert board.post(PROVIDER.address, HOT)
    with pytest.raises(Refused):
        board.post(PROVIDER.address, IDLE_HOT)


def test_a_bidder_is_a_party_at_once(board: Board) -> None:
    """The index may not have seen `Accepted` yet when the first keys go out."""
    board.letters.post(bid(), None)
    assert board.post(REQUESTER, PROVIDER.address)


@pytest.mark.parametrize("receiver", ["", "everyone", BULLETIN, "0x12", "0x" + "gg" * 20])
def test_a_private_letter_is_for_an_address(board: Board, receiver: str) -> None:
    with pytest.raises(BadMessage):
        board.post(REQUESTER, receiver)


# ----------------------------------------------------------------------------------------------------- run records


def test_how_a_training_ran_is_on_the_board_signed_by_its_provider(board: Board) -> None:
    """Issue 5 item 5: everybody may read it, and check whose word it is."""
    board.accept()
    letter = RAN.letter(PROVIDER)
    assert board.letters.post(letter, Address(PROVIDER.address))
    (shown,) = board.letters.records(JOB)
    record, signature = read_record(Letter.decode(canonical_json(shown["letter"])))
    assert record == RAN and board.market.verify_signature(record.provider, record.digest, signature)
    assert board.letters.bids(JOB) == []


def test_nobody_else_tells_how_a_lane_was_trained(board: Board) -> None:
    with pytest.raises(Refused) as early:
        board.letters.post(RAN.letter(PROVIDER), Address(PROVIDER.address))
    assert code_of(early) == "not_a_party"
    board.accept()
    for forged, code in (
        (replace(RAN, provider=Address(RIVAL.address)).letter(RIVAL), "not_a_party"),
        (replace(RAN, lane=1).letter(PROVIDER), "not_a_party"),
        (RAN.letter(RIVAL), "bad_signature"),
    ):
        with pytest.raises(HeldoutError) as refused:
            board.letters.post(forged, Address(PROVIDER.address))
        assert code_of(refused) == code
    assert board.letters.records(JOB) == []


@pytest.mark.parametrize("field", ["lane", "wall_ms", "image", "log", "signature"])
@pytest.mark.parametrize(
    "value", [None, [], {}, -1, 2**63, 1.5, True, "x" * 201, "a\nb"], ids=lambda value: str(value)[:9]
)
def test_any_spoiled_field_of_a_run_record_is_a_clear_error(board: Board, field: str, value: Any) -> None:
    board.accept()
    spoiled = RAN.letter(PROVIDER)
    spoiled.body[field] = value
    with pytest.raises(BadMessage):
        board.letters.post(spoiled, Address(PROVIDER.address))


# ---------------------------------------------------------------------------------------------------------- limits


def test_a_letter_has_its_limits(board: Board) -> None:
    """Threat 80."""
    with pytest.raises(BadMessage):
        board.post(REQUESTER, PROVIDER.address, text="x" * MOST_BYTES)
    for job in ("", "0x", "0x" + "AB" * 32, "../" + "00" * 31):
        with pytest.raises(BadMessage):
            board.letters.post(Letter(JobId(job), Kind.HALF_B, REQUESTER, HOT, {}), REQUESTER)


def test_hostile_strings_are_stored_and_given_back_as_they_are(board: Board) -> None:
    """Threat 72: parameters only, so nothing in a letter is ever part of a statement."""
    board.accept()
    text = "'; DROP TABLE letters; -- \x00 ${jndi:x} {{7*7}} ' OR 1=1"
    board.post(REQUESTER, PROVIDER.address, text=text)
    (mine,) = board.letters.mail(Address(PROVIDER.address), 0, None)
    assert mine["letter"]["body"]["envelope"] == text


def test_an_unknown_job_may_be_a_block_away(board: Board) -> None:
    with pytest.raises(NotYetKnown) as unknown:
        board.letters.post(Letter(JobId("0x" + "00" * 32), Kind.HALF_B, REQUESTER, HOT, {}), REQUESTER)
    assert unknown.value.retryable


def test_a_service_that_lost_its_database_numbers_on_from_where_it_was(tmp_path: Path) -> None:
    """Threat 53: readers ask for what came after the last number they saw, whoever counted it."""
    numbers = []
    for life in ("before", "after"):
        engine = database_of(tmp_path / f"{life}.db")
        board = Board(engine)
        board.accept()
        board.letters = Letters(engine, board.market, NETWORK, lambda life=life: NOW + (life == "after"))  # type: ignore[misc]
        for text in ("one", "two"):
            assert board.post(REQUESTER, PROVIDER.address, text=text)
        numbers += [letter["number"] for letter in board.letters.mail(Address(PROVIDER.address), 0, None)]
        engine.dispose()
    assert len(numbers) == 4
    assert numbers == sorted(set(numbers))
