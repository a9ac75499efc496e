"""Our encoding of values against eth-abi's: the same bytes, the same values, and nothing read that it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode as their_decode
from eth_abi.abi import encode as their_encode
from hypothesis import given
from hypothesis import strategies as st

from heldout.market.chain.codec import Abi, Parts, coder_of
from heldout.market.chain.contracts import canonical_type, interface
from heldout.market.signatures import checksummed
from heldout.market.terms import word, words

CONTRACTS = ("Market", "IMarket", "ValueChain", "HeldToken")


def parameters() -> list[list[Abi]]:
    """Of everything that our contracts take, return, tell and refuse with."""
    found = []
    for name in CONTRACTS:
        known = interface(name)
        for item in (*known.functions.values(), *known.events.values(), *known.errors.values()):
            found += [item.get("inputs", []), item.get("outputs", [])]
    return [each for each in found if each]


def values_of(item: Abi) -> st.SearchStrategy[Any]:
    kind = item["type"]
    if kind.endswith("[]"):
        return st.lists(values_of({**item, "type": kind[:-2]}), max_size=3)
    if kind == "tuple":
        return st.tuples(*map(values_of, item["components"]))
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    if kind in ("bytes", "string"):
        return st.binary(max_size=70) if kind == "bytes" else st.text(st.characters(codec="utf-8"), max_size=20)
    if kind.startswith("bytes"):
        return st.binary(min_size=int(kind[5:]), max_size=int(kind[5:]))
    return st.booleans() if kind == "bool" else st.binary(min_size=20, max_size=20).map(checksummed)


def as_they_say(item: Abi, value: Any) -> Any:
    """A value of ours as eth-abi returns it."""
    kind = item["type"]
    if kind.endswith("[]"):
        return tuple(as_they_say({**item, "type": kind[:-2]}, each) for each in value)
    if kind == "tuple":
        return tuple(as_they_say(part, value[part["name"]]) for part in item["components"])
    return value.lower() if kind == "address" else value


def coders(items: list[Abi]) -> Parts:
    return Parts([coder_of(item) for item in items])


@given(st.data())
def test_what_is_written_is_what_eth_abi_writes_and_both_read_it(data: st.DataObject) -> None:
    items = data.draw(st.sampled_from(parameters()))
    values = data.draw(st.tuples(*map(values_of, items)))
    kinds = [canonical_type(item) for item in items]
    written = coders(items).encode(values)
    assert written == their_encode(kinds, values)
    read = coders(items).read(written)
    theirs = their_decode(kinds, written)
    assert tuple(as_they_say(item, value) for item, value in zip(items, read, strict=True)) == theirs
    assert coders(items).read(written + b"more") == read


@given(st.data())
def test_nothing_is_read_that_eth_abi_refuses_or_reads_otherwise(data: st.DataObject) -> None:
    """A byte changed, or the end cut off: an error, or the very values that eth-abi reads."""
    items = data.draw(st.sampled_from(parameters()))
    kinds = [canonical_type(item) for item in items]
    bytes_ = bytearray(coders(items).encode(data.draw(st.tuples(*map(values_of, items)))))
    if bytes_:
        bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
    wrong = bytes(bytes_[: data.draw(st.integers(0, len(bytes_)))]) if data.draw(st.booleans()) else bytes(bytes_)
    try:
        read = coders(items).read(wrong)
    except ValueError:
        return
    told = tuple(as_they_say(item, value) for item, value in zip(items, read, strict=True))
    assert told == their_decode(kinds, wrong)


OVERLAP = words((64, 64, 1)) + b"x".ljust(32, b"\0")


@pytest.mark.parametrize(
    ("kinds", "data"),
    [
        (["uint8"], word(256)),
        (["uint8"], b"\0" * 31),
        (["bool"], word(2)),
        (["address"], b"\1" + bytes(31)),
        (["bytes4"], b"\1" * 32),
        (["bytes"], words((32, 1)) + b"xy".ljust(32, b"\0")),
        (["bytes"], words((32, 2**200))),
        (["string"], words((32, 1)) + b"\xff".ljust(32, b"\0")),
        (["bytes", "bytes"], OVERLAP),
        (["bytes"], words((0, 0))),
        (["uint256[]"], words((32, 2**40))),
        (["bytes[]"], words((32, 2, 64, 64, 0))),
    ],
)
def test_what_no_contract_writes_is_refused(kinds: list[str], data: bytes) -> None:
    with pytest.raises(ValueError):
        coders([{"type": kind} for kind in kinds]).read(data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", True),
        ("uint8", "1"),
        ("bool", 1),
        ("bytes4", b"123"),
        ("bytes", 3),
        ("bytes", None),
        ("address", "0x12"),
        ("address", "0x70997970c51812DC3A010C7d01b50e0d17dc79C8"),
        ("string", 5),
    ],
)
def test_what_does_not_fit_is_not_written(kind: str, value: Any) -> None:
    with pytest.raises(ValueError):
        coder_of({"type": kind}).encode(value)


@pytest.mark.parametrize("kind", ["uint", "uint7", "uint264", "int8", "bytes33", "bytes0", "fixed128x18", "function"])
def test_types_that_no_contract_of_ours_has_are_refused(kind: str) -> None:
    with pytest.raises(ValueError):
        coder_of({"type": kind})


def test_fixed_arrays_are_read_and_written_too() -> None:
    coder = Parts([coder_of({"type": "uint8[2][]"})])
    assert coder.encode([[[1, 2], [3, 4]]]) == their_encode(["uint8[2][]"], [[[1, 2], [3, 4]]])
    assert coder.read(coder.encode([[[1, 2], [3, 4]]])) == [[[1, 2], [3, 4]]]
