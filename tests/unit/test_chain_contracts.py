"""Calls, events and errors by the shipped ABI."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.chain.contracts import Contract, canonical_type, encode_arguments, interface, selector, topic
from heldout.market.chain.hints import HINTS
from heldout.market.chain.views import JobView, Limits, Window, bits
from heldout.market.errors import BadInput, ChainProblem
from heldout.market.lifecycle import REQUESTER, Outcome, State
from heldout.market.messages import hexed
from heldout.market.terms import keccak256, word, words

ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
MARKET = Contract("Market", ADDRESS)
JOB = "0x" + "ab" * 32


def test_selectors_and_topics_are_those_of_the_standard() -> None:
    token = interface("HeldToken")
    assert selector(token.functions["transfer"]) == bytes.fromhex("a9059cbb")
    transfer = next(item for item in token.events.values() if item["name"] == "Transfer")
    assert topic(transfer) == "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def test_structs_are_spelled_out_in_signatures() -> None:
    terms = interface("Market").functions["post"]["inputs"][0]
    assert canonical_type(terms).endswith(",bytes32,(bytes32,address,uint16)[])")


def test_a_job_id_is_an_argument_as_text_or_bytes() -> None:
    assert MARKET.encode("getJob", [JOB]) == MARKET.encode("getJob", [bytes.fromhex(JOB[2:])])


@pytest.mark.parametrize("args", [[], [JOB, 1], ["0x12"], ["zz"], [b"ab"]])
def test_arguments_that_do_not_fit_are_the_callers_mistake(args: list[object]) -> None:
    with pytest.raises(BadInput):
        MARKET.encode("getJob", args)


def test_every_error_of_the_contracts_has_a_hint() -> None:
    ours = {i["name"] for name in ("IMarket", "ValueChain") for i in interface(name).errors.values()} - {
        "Error",
        "Panic",
    }
    assert ours - set(HINTS) == set()
    known = {i["name"] for name in ("Market", "ValueChain", "HeldToken") for i in interface(name).errors.values()}
    assert set(HINTS) - known == set()


def test_a_custom_error_carries_its_name_values_and_hint() -> None:
    data = keccak256(b"TooEarly(uint256,uint256)")[:4] + words((5, 9))
    refused = MARKET.error(data)
    assert (refused.name, refused.values, str(refused)) == ("TooEarly", (5, 9), "TooEarly(5, 9)")
    assert "deadline" in refused.hint


def test_an_error_shows_its_words_as_hex_and_names_states_and_fields() -> None:
    """Not `WrongState(b'\\xee...', 6)`, and with the exit code of what was refused, not of an RPC that is down."""
    job = bytes.fromhex(JOB[2:])
    refused = MARKET.error(keccak256(b"WrongState(bytes32,uint8)")[:4] + job + word(6))
    assert refused.values == (job, 6)
    assert str(refused) == f"WrongState({JOB}, Settled)"
    assert (refused.exit_code, refused.retryable) == (5, False)
    field = b"fee".ljust(32, b"\0")
    out = MARKET.error(keccak256(b"TermOutOfRange(bytes32,uint256,uint256,uint256)")[:4] + field + words((1, 2, 3)))
    assert str(out) == "TermOutOfRange(fee, 1, 2, 3)"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "RevertedWithoutReason"),
        (bytes.fromhex("deadbeef"), "UnknownError"),
        (bytes.fromhex("4e487b71") + word(0x11), "Panic"),
        (bytes.fromhex("08c379a0") + words((32, 2)) + b"no".ljust(32, b"\0"), "Error"),
    ],
)
def test_other_reverts_are_told_too(data: bytes, name: str) -> None:
    assert MARKET.error(data).name == name


def test_an_event_is_decoded_by_name_with_indexed_arguments_in_their_places() -> None:
    log = {
        "topics": [
            hexed(keccak256(b"Submitted(bytes32,address,uint8,bytes32)")),
            JOB,
            hexed(word(ADDRESS)),
        ],
        "data": hexed(words((3, b"\x01" * 32))),
    }
    name, args = MARKET.decode_log(log) or ("", {})
    assert name == "Submitted"
    assert list(args.items()) == [
        ("job", bytes.fromhex(JOB[2:])),
        ("provider", ADDRESS),
        ("lane", 3),
        ("word", b"\x01" * 32),
    ]


def test_an_event_of_another_contract_is_left_out() -> None:
    assert MARKET.decode_log({"topics": ["0x" + "00" * 32], "data": "0x"}) is None
    assert MARKET.decode_log({"topics": [], "data": "0x"}) is None


def test_an_answer_the_abi_cannot_read_is_the_rpcs_fault() -> None:
    """Threat 32: a lying RPC ends in an error of its own, never in a crash."""
    with pytest.raises(ChainProblem):
        MARKET.decode("getJob", b"\x01" * 31)


@given(st.integers(0, 2**256 - 1))
def test_bits_are_the_indices_of_a_mask(mask: int) -> None:
    assert sum(1 << i for i in bits(mask)) == mask


def test_a_job_is_read_field_by_field() -> None:
    item = interface("IMarket").functions["getJob"]["outputs"][0]
    values = [
        3,
        0,
        2,
        3,
        1,
        1000,
        900,
        5,
        7,
        24,
        0b11,
        0,
        1 << REQUESTER,
        1 << 8,
        1,
        b"\0" * 32,
    ]
    data = encode_arguments({"name": "getJob", "inputs": [item]}, [values])
    view = JobView.from_abi(Contract("IMarket", ADDRESS).decode("getJob", data))
    assert (view.state, view.outcome) == (State.COMMITTING, Outcome.NONE)
    assert (view.lanes, view.committee, view.round, view.deadline, view.stage_start) == (2, 3, 1, 1000, 900)
    assert (view.accept_block, view.seed_block, view.seat_count) == (5, 7, 24)
    assert (view.submitted, view.missing, view.demanded, view.pending) == ({0, 1}, set(), {REQUESTER}, {REQUESTER})
    assert (view.demanders, view.result) == ({0}, bytes(32))


def test_limits_survive_the_abi() -> None:
    limits = Limits(*(Window(i, i + 100) for i in range(1, 7)), 64, 256, 10**9)  # type: ignore[arg-type]
    item = interface("IMarket").functions["limits"]["outputs"][0]
    data = encode_arguments({"name": "limits", "inputs": [item]}, [limits.as_tuple()])
    assert Limits.from_abi(Contract("IMarket", ADDRESS).decode("limits", data)) == limits
