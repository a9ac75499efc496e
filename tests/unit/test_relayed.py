"""Messages for others to post (P6.1): what is signed, what a letter of each kind may hold, whose waivers count."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

from heldout.market.alarm import Alarm
from heldout.market.errors import BadMessage
from heldout.market.lifecycle import JobState, State, fold
from heldout.market.messages import Kind, Letter
from heldout.market.relayed import (
    LONGEST_SIGNATURE,
    Opening,
    ScoreCommit,
    Waiver,
    commit_letter,
    commit_of,
    opening_letter,
    opening_of,
    sign,
    waiver_letter,
    waiver_of,
)
from heldout.market.roads import End, Road, RoundRoads, describe, roads_of
from heldout.market.signatures import recover
from heldout.market.terms import Address, BlockNumber, JobId, Timestamp
from heldout.market.waiving import MOST_PER_JOB, Waivers, consent_to
from heldout.provider.record import Record
from heldout.provider.waiving import Waiving
from heldout.requester_cli.acting import Acts
from heldout.requester_cli.duties import Waive
from heldout.requester_cli.rechecking import Rechecker
from heldout.requester_cli.shelf import Shelf
from tests.builders import JOB, JOB_BYTES, TERMS, EventLog, digest, terms_values

CHAIN, MARKET = 31337, "0x" + "11" * 20
REQUESTER, FIRST, SECOND = (Account.from_key(digest(name)) for name in ("requester", "first", "second"))
ME, YOU = Address(FIRST.address), Address(SECOND.address)
COMMIT = ScoreCommit(JOB, 1, 7, digest("hash"))
OPENING = Opening(2, digest("vote"), digest("evidence"), digest("salt"))
WAIVER = Waiver(JOB, 1, digest("result"))


def test_letters_bring_back_what_was_written() -> None:
    assert commit_of(commit_letter(COMMIT, b"\1" * 65, ME, YOU)) == (COMMIT, b"\1" * 65)
    assert opening_of(opening_letter(JOB, 3, OPENING, ME, YOU)) == (3, OPENING)
    assert waiver_of(waiver_letter(WAIVER, b"\2" * 65, ME, YOU)) == (WAIVER, b"\2" * 65)


@pytest.mark.parametrize("letter", [commit_letter(COMMIT, b"\1" * 65, ME, YOU), waiver_letter(WAIVER, b"", ME, YOU)])
@pytest.mark.parametrize(
    "value", [None, "", [], "0x00", -1, 2**40, 1.5, True, "é", "0x" + "00" * (LONGEST_SIGNATURE + 1)]
)
def test_a_spoiled_field_is_a_clear_error(letter: Letter, value: Any) -> None:
    read = commit_of if letter.kind is Kind.SCORE_COMMIT else waiver_of
    for field in letter.body:
        if field == "signature" and value in ("", "0x00"):
            continue  # whether a signature is one is for its signer's chain to say
        with pytest.raises(BadMessage):
            read(replace(letter, body={**letter.body, field: value}))


def test_a_signature_is_good_for_one_chain_market_job_round_and_seat() -> None:
    signature = sign(FIRST, COMMIT.digest(CHAIN, MARKET))
    assert recover(COMMIT.digest(CHAIN, MARKET), signature) == ME
    others = [replace(COMMIT, **change) for change in ({"round": 2}, {"seat": 8}, {"hash": digest("other")})]
    digests = [other.digest(CHAIN, MARKET) for other in others]
    digests += [COMMIT.digest(1, MARKET), COMMIT.digest(CHAIN, "0x" + "22" * 20), WAIVER.digest(CHAIN, MARKET)]
    assert all(recover(each, signature) != ME for each in digests)


# ------------------------------------------------------------------------------------------------- waivers


class Wallets:
    """A chain on which `contracts` accept this one signature each (ERC-1271); all others sign by key."""

    def __init__(self, contracts: dict[str, bytes] | None = None) -> None:
        self.contracts = contracts or {}
        self.asked = 0

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        self.asked += 1
        if address in self.contracts:
            return signature == self.contracts[address]
        try:
            return recover(digest, signature) == address
        except BadMessage:
            return False


def two_lanes(requester: str = REQUESTER.address) -> JobState:
    log = EventLog()
    log("Posted", requester=requester, terms=terms_values(replace(TERMS, requester=Address(requester))))
    bids = [{"job": JOB_BYTES, "provider": a, "price": 1, "wrapKey": digest("w")} for a in (ME, YOU)]
    log("Accepted", bids=bids, seatCount=24)
    return fold(log.events)[JOB]


def waived(by: Any, waiver: Waiver = WAIVER) -> Letter:
    return waiver_letter(waiver, sign(by, waiver.digest(CHAIN, MARKET)), Address(by.address), YOU)


def test_waivers_are_whole_when_requester_and_every_provider_signed_in_that_order() -> None:
    waivers = Waivers(Wallets(), CHAIN, MARKET)
    for signer in (SECOND, REQUESTER):
        waivers.keep(waived(signer))
    assert waivers.signatures(two_lanes(), WAIVER) is None
    waivers.keep(waived(FIRST))
    digest_ = WAIVER.digest(CHAIN, MARKET)
    assert waivers.signatures(two_lanes(), WAIVER) == tuple(sign(s, digest_) for s in (REQUESTER, FIRST, SECOND))


def test_who_posts_waivers_needs_no_signature_of_its_own() -> None:
    waivers = Waivers(Wallets(), CHAIN, MARKET)
    for signer in (REQUESTER, FIRST):
        waivers.keep(waived(signer))
    assert waivers.to_post(two_lanes(), WAIVER, ME) is None
    waivers.keep(waived(SECOND))
    posted = waivers.to_post(two_lanes(), WAIVER, Address(ME.lower()))
    assert posted is not None and [bool(each) for each in posted] == [True, False, True]


def test_a_waiver_counts_for_its_round_and_result_alone() -> None:
    waivers = Waivers(Wallets(), CHAIN, MARKET)
    for other in (replace(WAIVER, round=2), replace(WAIVER, result=digest("other"))):
        for signer in (REQUESTER, FIRST, SECOND):
            waivers.keep(waived(signer, other))
    assert waivers.signatures(two_lanes(), WAIVER) is None


def test_a_forged_waiver_is_dropped_and_a_good_one_after_it_is_taken() -> None:
    """Whoever brought it: the letter's sender is not looked at."""
    waivers = Waivers(Wallets(), CHAIN, MARKET)
    forged = waiver_letter(WAIVER, sign(FIRST, WAIVER.digest(CHAIN, MARKET)), Address(REQUESTER.address), YOU)
    for letter in (forged, waived(FIRST), waived(SECOND)):
        waivers.keep(letter)
    assert waivers.signatures(two_lanes(), WAIVER) is None
    waivers.keep(waived(REQUESTER))
    assert waivers.signatures(two_lanes(), WAIVER) is not None


def test_a_contract_wallet_may_sign() -> None:
    """ERC-1271: its signature is whatever its code takes, of any length."""
    wallet = Address("0x" + "33" * 20)
    waivers = Waivers(Wallets({wallet: b"three owners agree" * 20}), CHAIN, MARKET)
    waivers.keep(waiver_letter(WAIVER, b"three owners agree" * 20, wallet, YOU))
    waivers.keep(waived(FIRST))
    waivers.keep(waived(SECOND))
    gathered = waivers.signatures(two_lanes(wallet), WAIVER)
    assert gathered is not None and gathered[0] == b"three owners agree" * 20


def test_a_flood_of_waivers_is_bounded_and_asks_nobody_twice() -> None:
    wallets = Wallets()
    waivers = Waivers(wallets, CHAIN, MARKET)
    for number in range(2 * MOST_PER_JOB):
        waivers.keep(waiver_letter(WAIVER, number.to_bytes(65, "big"), ME, YOU))
    for _ in range(3):
        assert waivers.signatures(two_lanes(), WAIVER) is None
    assert wallets.asked == MOST_PER_JOB


HEAD = 7


class MovingOn(Wallets):
    """A chain whose result was WAIVER's at HEAD, and has been made another by somebody's silence since."""

    network = SimpleNamespace(chain_id=CHAIN, market=MARKET, deploy_block=0)

    def job(self, job: JobId, at: int | None = None) -> Any:
        result = WAIVER.result if at == HEAD else digest("after a silence")
        return SimpleNamespace(state=State.SCORED, round=WAIVER.round, result=result)

    def confirm_events(self, job: JobId, first: int, head: int) -> None:
        """One RPC: nobody to ask."""


def scored() -> JobState:
    return replace(two_lanes(), state=State.SCORED, round=WAIVER.round)


def test_a_provider_waives_the_result_it_decided_on_and_none_that_came_since() -> None:
    """P6.4"""
    sent: list[Letter] = []
    deliver = SimpleNamespace(waiver=lambda waiver, to: waived(FIRST, waiver))
    tools: Any = SimpleNamespace(chain=MovingOn(), deliveries=deliver, mail=SimpleNamespace(send=sent.append))
    view: Any = SimpleNamespace(job=scored(), me=ME, head=HEAD)
    Waiving(tools, CHAIN, MARKET).waive(view, Record(JOB, BlockNumber(1)))
    assert sent and {waiver_of(letter)[0] for letter in sent} == {WAIVER}


def test_a_requester_waives_the_result_it_decided_on_and_none_that_came_since(tmp_path: Path) -> None:
    """P6.4"""
    sent: list[Letter] = []
    mail = SimpleNamespace(send=lambda letter, fallback: sent.append(letter))
    keys = SimpleNamespace(account=REQUESTER, address=REQUESTER.address)
    chain: Any = MovingOn()
    tools: Any = SimpleNamespace(chain=chain, keys=keys, mail=mail)
    waivers, nobody = Waivers(chain, CHAIN, MARKET), Rechecker(lambda job, weights: [])
    sight: Any = SimpleNamespace(job=scored(), events=(), view=SimpleNamespace(head=HEAD, now=0))
    Acts(tools, Alarm(), Shelf(tmp_path), waivers, nobody, None).take(Waive(), sight)
    assert sent and {waiver_of(letter)[0] for letter in sent} == {WAIVER}


def test_nobody_consents_to_another_round_than_the_one_decided_on() -> None:
    later: Any = SimpleNamespace(state=State.SCORED, round=WAIVER.round + 1, result=WAIVER.result)
    assert consent_to(scored(), later) is None


@pytest.mark.parametrize(("number", "is_theirs"), [(1, True), (2, False), (3, True)])
def test_parties_conclude_any_round_but_the_second(number: int, is_theirs: bool) -> None:
    """P3.6, P6.1: it may fine seats of round 1, who may appeal."""
    job: Any = SimpleNamespace(id=WAIVER.job, round=number)
    stored: Any = SimpleNamespace(state=State.SCORED, round=number, result=WAIVER.result)
    assert (consent_to(job, stored) is not None) is is_theirs


# --------------------------------------------------------------------------------------------------- roads


def told(*steps: tuple[str, str, int], settled_at: int = 0, outcome: int = 1) -> Any:
    """Events (name, transaction, round); the challenge ends at second 100."""
    log = EventLog()
    events = [replace(log(name, round=round_), tx=tx) for name, tx, round_ in steps]
    events.append(log("Moved", state=State.SCORED, round=1, deadline=100))
    if settled_at:
        events.append(replace(log("Settled", outcome=outcome), timestamp=Timestamp(settled_at)))
    return roads_of(events)


def test_one_transaction_for_all_is_the_relayed_road() -> None:
    batch = [("Committed", "a", 1)] * 3 + [("Revealed", "b", 1), ("Revealed", "c", 1)]
    assert told(*batch).rounds == (RoundRoads(Road.RELAYED, Road.PLAIN),)
    second = [("Committed", name, 2) for name in "def"]
    assert told(*batch, *second).rounds[1] == RoundRoads(Road.PLAIN, Road.NONE)


@pytest.mark.parametrize(
    "at, outcome, end", [(99, 1, End.WAIVED), (100, 1, End.DEADLINE), (99, 2, End.AGREED), (0, 1, End.NONE)]
)
def test_what_settles_before_the_challenge_is_over_was_waived(at: int, outcome: int, end: End) -> None:
    roads = told(("Committed", "a", 1), settled_at=at, outcome=outcome)
    assert roads.end is end
    assert len(describe(roads)) == (2 if end in (End.WAIVED, End.AGREED) else 1)
