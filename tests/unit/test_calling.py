"""Calls for bids as letters (P2.5): what their requester signed is what bidders read, to the last unit."""

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.calling import SKEW_S, CallForBids, call_letter, call_of, is_called
from heldout.market.errors import BadMessage
from heldout.market.lifecycle import State
from heldout.market.messages import Letter
from heldout.market.relayed import LONGEST_SIGNATURE
from heldout.market.settings import Network
from heldout.market.signatures import recover
from heldout.market.terms import Address, BlockNumber, JobTerms, Timestamp, job_id
from tests.builders import CHAIN_ID, JOB, JOB_BYTES, MARKET, PROVIDERS, REQUESTER, TERMS, EventLog, terms_values

NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())
ASKER = Account.from_key("0x" + "0c" * 32)
MINE = replace(TERMS, requester=Address(ASKER.address))
NOW = 1_800_000_000
CALL = CallForBids(job_id(MINE, CHAIN_ID, MARKET), MINE, Timestamp(NOW + MINE.bidWindow))
SIGNATURE = bytes(ASKER.unsafe_sign_hash(CALL.digest(CHAIN_ID, MARKET)).signature)
LETTER = call_letter(CALL, SIGNATURE)


PARENT = LETTER.body["terms"]["parents"][0]
OTHER_CAPITALS = "0x" + "aB" * 20
"""Which no contract call takes (EIP-55)."""


def changed(**body: Any) -> Letter:
    return replace(LETTER, body={**LETTER.body, **body})


def test_a_call_is_read_as_it_was_written_and_its_requester_is_found_from_it() -> None:
    call, signature = call_of(Letter.decode(LETTER.encode()), NETWORK)
    assert (call, signature) == (CALL, SIGNATURE)
    assert recover(call.digest(CHAIN_ID, MARKET), signature) == MINE.requester


@pytest.mark.parametrize("name", sorted(TERMS.as_json()))
def test_no_word_of_the_terms_can_be_changed_under_the_signature(name: str) -> None:
    """Another word is another job, which this letter does not name; named, its digest is another one."""
    terms = dict(LETTER.body["terms"])
    old = terms[name]
    terms[name] = (
        []
        if isinstance(old, list)
        else old + 1
        if isinstance(old, int)
        else str(int(old) + 1)
        if old.isdecimal()
        else PROVIDERS[0]
        if len(old) == 42
        else "0x" + "5a" * 32
    )
    with pytest.raises(BadMessage):
        call_of(changed(terms=terms), NETWORK)
    forged = JobTerms.from_json(terms)
    other = CallForBids(job_id(forged, CHAIN_ID, MARKET), forged, CALL.until)
    assert other.job != CALL.job
    assert recover(other.digest(CHAIN_ID, MARKET), SIGNATURE) != MINE.requester


def test_the_signature_is_for_one_end_one_chain_and_one_market() -> None:
    later = replace(CALL, until=Timestamp(CALL.until + 1))
    digests = {CALL.digest(CHAIN_ID, MARKET), later.digest(CHAIN_ID, MARKET), CALL.digest(1, MARKET)}
    assert len({*digests, CALL.digest(CHAIN_ID, PROVIDERS[0])}) == 4
    with pytest.raises(BadMessage):
        call_of(LETTER, replace(NETWORK, chain_id=1))


@pytest.mark.parametrize("until", [-1, 2**63, 1.5, True, "1800000060", None])
def test_an_end_that_is_no_time_is_refused(until: Any) -> None:
    with pytest.raises(BadMessage, match="unix time"):
        call_of(changed(until=until), NETWORK)


@pytest.mark.parametrize(
    "letter",
    [
        replace(LETTER, sender=REQUESTER),
        replace(LETTER, receiver=PROVIDERS[0]),
        replace(LETTER, job=JOB),
        changed(more=1),
        changed(signature="0x" + "00" * (LONGEST_SIGNATURE + 1)),
        changed(signature="0x0"),
        changed(terms=None),
        changed(terms={**LETTER.body["terms"], "lanes": True}),
        changed(terms={**LETTER.body["terms"], "bond": "07"}),
        changed(terms={**LETTER.body["terms"], "bond": str(2**96)}),
        changed(terms={**LETTER.body["terms"], "parents": [{}]}),
        changed(terms={**LETTER.body["terms"], "more": 1}),
        changed(terms={**LETTER.body["terms"], "requester": OTHER_CAPITALS}),
        changed(terms={**LETTER.body["terms"], "parents": [{**PARENT, "payee": OTHER_CAPITALS}]}),
    ],
)
def test_what_no_requester_would_have_written_is_refused(letter: Letter) -> None:
    with pytest.raises(BadMessage):
        call_of(letter, NETWORK)


@given(
    st.dictionaries(
        st.sampled_from([*TERMS.as_json(), "more"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
        min_size=1,
        max_size=3,
    )
)
def test_terms_from_a_stranger_are_terms_or_refused(spoiled: dict[str, Any]) -> None:
    raw = {**TERMS.as_json(), **spoiled}
    try:
        terms = JobTerms.from_json(raw)
    except BadMessage:
        return
    assert terms.as_json() == raw
    assert job_id(terms, CHAIN_ID, MARKET)  # it packs


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (CALL.until, False),
        (CALL.until - 1, True),
        (NOW - SKEW_S, True),
        (NOW - SKEW_S - 1, False),
    ],
)
def test_a_call_binds_no_bidder_for_longer_than_a_bid_window(now: int, holds: bool) -> None:
    assert CALL.holds(now) is holds


def test_a_job_that_is_called_for_reads_as_an_open_one_with_the_calls_end_as_its_deadline() -> None:
    job = CALL.as_job(BlockNumber(7))
    assert (job.id, job.state, job.deadline, job.posted.block) == (CALL.job, State.OPEN, CALL.until, 7)
    assert job.posted.timestamp == NOW
    assert is_called(job)
    posted = EventLog(JOB_BYTES)("Posted", requester=REQUESTER, terms=terms_values())
    assert not is_called(replace(job, posted=posted))
