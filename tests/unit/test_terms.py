"""Terms and the job's id (P2.1)."""

from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data

from heldout.market.errors import BadInput
from heldout.market.terms import _SOLIDITY, METRICS, JobTerms, job_id, read_job_id, scorer_id, word
from tests.builders import MARKET, TERMS


def test_a_job_is_named_by_its_eip712_hash() -> None:
    """P2.1, checked against eth-account's own encoder."""
    parent = [("artifact", "bytes32"), ("payee", "address"), ("bps", "uint16")]
    types = {
        "JobTerms": [{"name": n, "type": t} for n, t in _SOLIDITY.items()] + [{"name": "parents", "type": "Parent[]"}],
        "Parent": [{"name": n, "type": t} for n, t in parent],
    }
    message: dict[str, Any] = {f.name: getattr(TERMS, f.name) for f in fields(TERMS)}
    message["parents"] = [asdict(p) for p in TERMS.parents]
    domain = {"name": "Heldout", "version": "1", "chainId": 31337, "verifyingContract": MARKET}
    digest = _hash_eip191_message(encode_typed_data(domain, types, message))
    assert job_id(TERMS, 31337, MARKET) == "0x" + digest.hex()


@pytest.mark.parametrize("name", [f.name for f in fields(JobTerms)])
def test_no_two_terms_that_differ_in_one_field_share_an_id(name: str) -> None:
    """P2.1: an escrow cannot be moved under other terms."""
    value = getattr(TERMS, name)
    other: object
    if isinstance(value, bytes):
        other = bytes(32)
    elif isinstance(value, str):
        other = MARKET
    elif isinstance(value, tuple):
        other = ()
    else:
        other = value + 1
    assert job_id(replace(TERMS, **{name: other}), 31337, MARKET) != job_id(TERMS, 31337, MARKET)


def test_the_same_terms_are_another_job_on_another_chain_or_market() -> None:
    ids = {job_id(TERMS, 31337, MARKET), job_id(TERMS, 1, MARKET), job_id(TERMS, 31337, TERMS.requester)}
    assert len(ids) == 3


def test_terms_survive_the_decoded_event() -> None:
    values = {f.name: getattr(TERMS, f.name) for f in fields(TERMS)}
    values["parents"] = [asdict(p) for p in TERMS.parents]
    assert JobTerms.from_values(values) == TERMS


def test_metric_names_direction_and_scorer() -> None:
    assert TERMS.metric_name == "accuracy"
    assert not TERMS.lower_is_better
    assert replace(TERMS, floor=TERMS.target, target=TERMS.floor).lower_is_better
    assert len(set(METRICS.values())) == len(METRICS)
    assert len(scorer_id("score-v1")) == 32


def test_an_abi_word_is_32_bytes_or_refused() -> None:
    assert word(1) == bytes(31) + b"\x01"
    with pytest.raises(ValueError, match="32 bytes"):
        word(b"short")
    with pytest.raises(OverflowError):
        word(-1)


@pytest.mark.parametrize("text", ["0x12", "ab" * 32, "0x" + "g" * 64, ""])
def test_an_id_that_is_not_whole_is_refused_before_the_chain_is_asked(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_job_id(text)
    assert refused.value.code == "bad_job_id"
    assert read_job_id("0x" + "AB" * 32) == "0x" + "ab" * 32
