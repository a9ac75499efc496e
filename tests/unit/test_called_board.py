"""Calls for bids on the service's board (P2.5): who may call, what is shown, how long, and what goes with it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import Engine, select

from heldout.market.calling import CallForBids, call_letter, call_of
from heldout.market.errors import BadMessage, HeldoutError, Refused, Reverted
from heldout.market.jsontext import canonical_json
from heldout.market.messages import Letter
from heldout.market.money import Wei
from heldout.market.service import database as db
from heldout.market.service.calls import KEPT_S, MOST_OF_ONE, PAGE
from heldout.market.service.holdings import Holdings
from heldout.market.service.letters import MOST_ON_THE_BOARD, NotYetKnown
from heldout.market.terms import Address, JobTerms, Timestamp, job_id
from tests.builders import CHAIN_ID, JOB, MARKET, REQUESTER, TERMS, digest, terms_values
from tests.databases import database_of
from tests.letter_board import NETWORK, NOW, PROVIDER, RIVAL, Board, bid

ASKER = Account.from_key("0x" + "0c" * 32)
CALLED = replace(TERMS, requester=Address(ASKER.address))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = database_of(tmp_path / "service.db")
    yield opened
    opened.dispose()


@pytest.fixture
def board(engine: Engine) -> Board:
    return Board(engine)


def call(terms: JobTerms = CALLED, *, lasting: int = TERMS.bidWindow, signer: Any = ASKER, now: int = NOW) -> Letter:
    wanted = CallForBids(job_id(terms, CHAIN_ID, MARKET), terms, Timestamp(now + lasting))
    return call_letter(wanted, bytes(signer.unsafe_sign_hash(wanted.digest(CHAIN_ID, MARKET)).signature))


def salted(number: int) -> JobTerms:
    return replace(CALLED, salt=digest(f"salt {number}"))


def bid_on(letter: Letter, **changes: Any) -> Letter:
    return bid(job=bytes.fromhex(letter.job[2:]), **changes)


def shown(board: Board, after: int = 0) -> list[Any]:
    letters = [Letter.decode(canonical_json(row["letter"])) for row in board.letters.calls.after(after)]
    return [call_of(letter, NETWORK)[0].job for letter in letters]


def refusal(board: Board, letter: Letter) -> HeldoutError:
    with pytest.raises((BadMessage, Refused)) as refused:
        board.letters.post(letter, None)
    return refused.value


def rows_of(engine: Engine, table: Any) -> int:
    with engine.connect() as connection:
        return len(connection.execute(select(table)).all())


def test_a_call_is_shown_to_everybody_and_bid_for_like_an_open_job(board: Board) -> None:
    letter = call()
    assert board.letters.post(letter, None)
    assert not board.letters.post(letter, None), "the same call twice is one"
    assert shown(board) == [letter.job]
    assert board.letters.post(bid_on(letter), None)
    assert len(board.letters.bids(letter.job)) == 1


def test_bids_for_a_job_that_nobody_calls_for_are_not_taken(board: Board) -> None:
    with pytest.raises(NotYetKnown):
        board.letters.post(bid_on(call()), None)


def test_a_bid_for_a_call_keeps_every_rule_of_a_bid(board: Board) -> None:
    letter = call()
    board.letters.post(letter, None)
    assert refusal(board, bid_on(letter, price=Wei(CALLED.priceCap + 1))).code == "bid_above_cap"
    assert refusal(board, bid_on(letter, signer=RIVAL)).code == "bad_signature"
    board.market.free_ = Wei(CALLED.collateral - 1)
    assert refusal(board, bid_on(letter)).code == "unfunded_bid"


def test_only_a_jobs_own_requester_calls_for_it(board: Board) -> None:
    assert refusal(board, call(signer=RIVAL)).code == "bad_signature"
    assert refusal(board, call(replace(CALLED, requester=REQUESTER))).code == "bad_signature"
    assert shown(board) == []


@pytest.mark.parametrize("lasting", [-1, 0, TERMS.bidWindow + 61, 2**62])
def test_a_call_that_is_over_or_holds_its_bidders_too_long_is_refused(board: Board, lasting: int) -> None:
    assert refusal(board, call(lasting=lasting)).code == "call_expired"


def test_a_call_for_what_the_market_would_not_take_is_refused_until_it_would(board: Board) -> None:
    board.market.refuses = Reverted("InsufficientBalance", (0, 1), hint="deposit")
    refused = refusal(board, call())
    assert (refused.code, refused.retryable) == ("unfunded_call", True)
    assert "InsufficientBalance" in refused.message
    board.market.refuses = None
    assert board.letters.post(call(), None)


def test_one_requester_has_so_many_calls_and_another_is_not_kept_out(board: Board) -> None:
    for number in range(MOST_OF_ONE):
        board.letters.post(call(salted(number)), None)
    assert refusal(board, call(salted(MOST_OF_ONE))).code == "too_many_letters"
    assert board.letters.post(call(replace(CALLED, requester=Address(RIVAL.address)), signer=RIVAL), None)
    board.market.now += TERMS.bidWindow
    assert board.letters.post(call(salted(MOST_OF_ONE), now=board.market.now), None), "the others are over"


def test_a_call_is_shown_until_it_is_over_or_its_job_is_posted(board: Board) -> None:
    first, second = call(), call(salted(1), lasting=TERMS.bidWindow // 2)
    for letter in (first, second):
        board.letters.post(letter, None)
    assert shown(board) == [first.job, second.job]
    board.market.now += TERMS.bidWindow // 2
    assert shown(board) == [first.job]
    with pytest.raises(NotYetKnown):
        board.letters.post(bid_on(second, validUntil=board.market.now + 60), None)
    board.happens("Posted", job=bytes.fromhex(first.job[2:]), requester=CALLED.requester, terms=terms_values(CALLED))
    assert shown(board) == []


def test_calls_are_read_page_by_page(board: Board, engine: Engine) -> None:
    letter = call()
    with db.writing(engine).begin() as connection:
        for number in range(1, PAGE + 3):
            text = letter.encode().decode()
            row = {"number": number, "hash": f"{number:064x}", "job": letter.job, "kind": "call", "letter": text}
            connection.execute(db.letters.insert(), row | {"sender": letter.sender.lower(), "receiver": "bulletin"})
            called = {"number": number, "job": letter.job, "requester": letter.sender.lower(), "until": NOW + 1}
            connection.execute(db.calls.insert(), called)
    first = board.letters.calls.after(0)
    assert (len(first), len(board.letters.calls.after(first[-1]["number"]))) == (PAGE, 2)


def test_a_call_that_came_to_nothing_goes_with_its_bids_and_no_other_bid_goes(board: Board, engine: Engine) -> None:
    lapsed, again = call(), call(salted(1))
    for letter in (lapsed, again):
        board.letters.post(letter, None)
        board.letters.post(bid_on(letter), None)
    board.letters.post(bid(), None)  # on a job of the chain
    board.market.now += TERMS.bidWindow + KEPT_S // 2
    board.letters.post(call(salted(1), now=board.market.now), None)  # called for again
    board.letters.calls.sweep()
    assert len(board.letters.bids(lapsed.job)) == 1, "not yet: the chain may turn back"
    board.market.now += KEPT_S // 2
    board.letters.calls.sweep()
    assert board.letters.bids(lapsed.job) == []
    assert len(board.letters.bids(again.job)) == 1
    assert len(board.letters.bids(JOB)) == 1
    assert (rows_of(engine, db.calls), rows_of(engine, db.letters)) == (1, 3)


def test_a_call_is_held_about_its_requester_and_erased_with_its_name(board: Board, engine: Engine) -> None:
    letter = call()
    board.letters.post(letter, None)
    board.letters.post(bid_on(letter), None)
    holdings, asker, bidder = Holdings(engine), Address(ASKER.address), Address(PROVIDER.address)
    assert [row["value"]["kind"] for row in holdings.rows(asker, "")["rows"]] == ["call"]
    assert holdings.erase(asker, live=False) == {"letters": 0, "readings": 0, "manifests": 0, "kept": 1}, "it stands"
    assert holdings.erase(bidder, live=False)["kept"] == 1, "and so do the bids on it"
    assert holdings.erase(asker, live=True)["letters"] == 1
    assert shown(board) == []
    with engine.connect() as connection:
        assert [row.requester for row in connection.execute(select(db.calls))] == [""]
    assert refusal(board, letter).code == "erased"
    board.market.now += TERMS.bidWindow + KEPT_S
    board.letters.calls.sweep()
    assert (rows_of(engine, db.calls), rows_of(engine, db.letters)) == (0, 0), "what came in on it goes with it"


def test_the_next_to_end_is_listed_first(board: Board) -> None:
    first, second, posted = call(salted(1), lasting=20), call(salted(2), lasting=40), call(salted(3), lasting=10)
    for letter in (second, first, posted):
        board.letters.post(letter, None)
    board.happens(
        "Posted", job=bytes.fromhex(posted.job[2:]), requester=CALLED.requester, terms=terms_values(salted(3))
    )
    assert [call.job for call in board.letters.calls.ending(2)] == [first.job, second.job]
    assert [call.terms for call in board.letters.calls.ending(1)] == [salted(1)]


def test_a_renewed_bid_for_a_call_takes_the_place_of_the_one_before(board: Board) -> None:
    """However often a call is made for a job, nobody's board is full because of it."""
    letter = call()
    board.letters.post(letter, None)
    for later in range(MOST_ON_THE_BOARD + 1):
        assert board.letters.post(bid_on(letter, validUntil=NOW + 60 + later), None)
    (kept,) = board.letters.bids(letter.job)
    assert kept["letter"]["body"]["validUntil"] in (NOW + 60 + later, str(NOW + 60 + later))


def test_an_old_bid_that_somebody_brings_again_displaces_no_newer_one(board: Board) -> None:
    letter = call()
    board.letters.post(letter, None)
    old, new = (bid_on(letter, validUntil=NOW + later) for later in (60, 90))
    for each in (old, new, old):
        board.letters.post(each, None)
    kept = {row["letter"]["body"]["validUntil"] for row in board.letters.bids(letter.job)}
    assert kept == {old.body["validUntil"], new.body["validUntil"]}
