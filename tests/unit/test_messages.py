"""Votes, commits, submissions, bids and letters (P3.1, P3.5, P4.4, P8)."""

from hashlib import sha256

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.errors import BadMessage
from heldout.market.jsontext import canonical_json
from heldout.market.messages import (
    BAD,
    BULLETIN,
    HIGHEST_SCORE,
    AgreedLane,
    AgreedOutcome,
    Bid,
    Kind,
    Letter,
    Submission,
    bid_letter,
    bid_of,
    commit_hash,
    decode_answer,
    describe_score,
    encode_answer,
    pack_vote,
    unpack_vote,
)
from heldout.market.money import Wei
from heldout.market.terms import Address, JobId
from tests.builders import PROVIDERS

MARKET = "0x" + "33" * 20
PROVIDER = Address("0x" + "22" * 20)
JOB = sha256(b"job").digest()
BID = Bid(JOB, PROVIDER, Wei(5), sha256(b"wrap").digest(), 1_800_000_000, 7)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8))
def test_a_vote_carries_its_lanes(lanes: list[int]) -> None:
    """P3.1"""
    assert unpack_vote(pack_vote(lanes), len(lanes)) == tuple(lanes)


def test_lane_zero_is_in_the_lowest_bits() -> None:
    """P3.1"""
    assert pack_vote([1])[-1] == 1
    assert pack_vote([0, 1])[-5] == 1


@pytest.mark.parametrize("lanes", [[], [0] * 9, [-1], [2**32]])
def test_what_does_not_fit_in_a_vote_is_refused(lanes: list[int]) -> None:
    with pytest.raises(ValueError, match="not a vote"):
        pack_vote(lanes)


def test_scores_and_codes_are_named_for_people() -> None:
    assert describe_score(961_111) == "0.961111"
    assert describe_score(BAD) == "BAD"
    assert HIGHEST_SCORE < BAD


def test_a_commit_is_bound_to_every_part_of_where_it_was_made() -> None:
    """P3.5, threat 9: whoever copies a commit cannot open it for another seat, round, job, market or chain."""
    base = (31337, MARKET, JOB, 1, 4, pack_vote([1]), bytes(32), sha256(b"salt").digest())
    others = [
        (1, *base[1:]),
        (base[0], "0x" + "44" * 20, *base[2:]),
        (*base[:2], sha256(b"x").digest(), *base[3:]),
        (*base[:3], 2, *base[4:]),
        (*base[:4], 5, *base[5:]),
        (*base[:5], pack_vote([2]), *base[6:]),
        (*base[:6], sha256(b"e").digest(), base[7]),
        (*base[:7], sha256(b"pepper").digest()),
    ]
    assert len({commit_hash(*base), *(commit_hash(*other) for other in others)}) == 9  # type: ignore[arg-type]


def test_a_submit_word_is_bound_to_job_and_provider() -> None:
    """P4.4, threat 70"""
    one = Submission(*(sha256(bytes([i])).digest() for i in range(4)))
    words = {one.word(JOB, PROVIDER), one.word(JOB, Address(MARKET)), one.word(bytes(32), PROVIDER)}
    assert len(words) == 3


def test_a_bid_digest_is_what_a_wallet_signs() -> None:
    """P8: EIP-712, checked against eth-account's own encoder."""
    types = {
        "Bid": [
            {"name": name, "type": kind}
            for name, kind in [
                ("job", "bytes32"),
                ("provider", "address"),
                ("price", "uint96"),
                ("wrapKey", "bytes32"),
                ("validUntil", "uint64"),
                ("nonce", "uint256"),
            ]
        ]
    }
    domain = {"name": "Heldout", "version": "1", "chainId": 31337, "verifyingContract": MARKET}
    message = dict(zip(("job", "provider", "price", "wrapKey", "validUntil", "nonce"), BID.as_tuple(), strict=True))
    assert BID.digest(31337, MARKET) == _hash_eip191_message(encode_typed_data(domain, types, message))


def test_an_outcome_is_signed_as_wallets_sign_it() -> None:
    """P6.1, P8: EIP-712 as eth-account does it, its array of lanes included."""
    lanes = (AgreedLane(PROVIDER, JOB, 900_000, Wei(5)), AgreedLane(Address("0x" + "44" * 20), bytes(32), BAD, Wei(0)))
    domain = {"name": "Heldout", "version": "1", "chainId": 31337, "verifyingContract": MARKET}
    fields = {"provider": "address", "word": "bytes32", "score": "uint32", "payout": "uint256"}
    types = {
        "Outcome": [
            {"name": "job", "type": "bytes32"},
            {"name": "validUntil", "type": "uint64"},
            {"name": "lanes", "type": "AgreedLane[]"},
        ],
        "AgreedLane": [{"name": name, "type": kind} for name, kind in fields.items()],
    }
    message = {"job": JOB, "validUntil": 7, "lanes": [vars(lane) for lane in lanes]}
    expected = _hash_eip191_message(encode_typed_data(domain, types, message))
    assert AgreedOutcome(JOB, 7, lanes).digest(31337, MARKET) == expected


def test_a_bid_survives_its_letter() -> None:
    letter = Letter.decode(bid_letter(BID, b"signature").encode())
    assert letter.receiver == BULLETIN
    assert bid_of(letter) == (BID, b"signature")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"job":"0x1","kind":"gossip","sender":"a","receiver":"b","body":{}}',
        b'{ "body":{},"job":"0x1","kind":"bid","receiver":"b","sender":"a"}',
        b'{"body":{},"body":{"price":"1"},"job":"0x1","kind":"bid","receiver":"b","sender":"a"}',
        b'{"body":[],"job":"0x1","kind":"bid","receiver":"b","sender":"a"}',
    ],
)
def test_what_encode_would_not_make_is_not_a_letter(data: bytes) -> None:
    with pytest.raises(BadMessage) as refusal:
        Letter.decode(data)
    assert refusal.value.hint


STRANGE = [
    None,
    7,
    1.5,
    True,
    [],
    [1],
    {},
    {"a": 1},
    "",
    "0x",
    "bulletin",
    "0x" + "g" * 40,
    "0x" + "0" * 63,
    "../x",
    "0x" + "aB" * 20,
]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("field", ["job", "sender", "receiver"])
@pytest.mark.parametrize("value", STRANGE)
def test_a_letter_from_or_to_what_is_no_address_is_not_a_letter(kind: Kind, field: str, value: object) -> None:
    """Threat 52: `announce` carries what anybody likes to everybody; a letter that stops its reader would stop all."""
    sound = {"job": "0x" + "ab" * 32, "kind": kind, "sender": PROVIDERS[0], "receiver": BULLETIN, "body": {}}
    assert Letter.decode(canonical_json(sound))
    if (field, value) == ("receiver", BULLETIN):
        return
    with pytest.raises(BadMessage):
        Letter.decode(canonical_json({**sound, field: value}))


@pytest.mark.parametrize("price", [None, 1.5, "1.5", "x", True, [], {}])
def test_a_bid_with_a_strange_price_is_refused(price: object) -> None:
    letter = bid_letter(BID, b"")
    strange = Letter(letter.job, letter.kind, letter.sender, letter.receiver, {**letter.body, "price": price})
    with pytest.raises(BadMessage):
        bid_of(strange)


def test_answers_carry_letters_and_drop_what_is_none() -> None:
    """P4.5: garbage in calldata costs only its sender."""
    letter = Letter(JobId("0x" + JOB.hex()), Kind.HALF_B, PROVIDER, MARKET, {"lane": 0, "envelope": "0x00"})
    assert decode_answer(encode_answer([letter, letter])) == [letter, letter]
    assert decode_answer(b"\xff\xff") == []
    assert decode_answer(b'{"kind":"half_b"}') == []
    assert decode_answer(b'[1, null, {"kind": "half_b"}]') == []
    for unwritable in (b"NaN", b"1e999", b'"\\ud800"', b'{"kind": Infinity}'):
        assert decode_answer(b"[" + unwritable + b"," + letter.encode() + b"]") == [letter]
