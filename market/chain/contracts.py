"""The contracts as Python sees them: calls encoded, results, events and custom errors decoded by the shipped ABI.

Types: addresses are checksummed strings, bytes32 and bytes are bytes, structs are dicts by field name.
A 0x-string is accepted wherever a call takes bytes, so a `JobId` is an argument as it stands.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError

from heldout.market.chain.hints import HINTS
from heldout.market.errors import BadInput, ChainProblem, Reverted
from heldout.market.messages import hexed
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, keccak256

Abi = dict[str, Any]

_BUILT_IN: list[Abi] = [
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
]


def canonical_type(item: Abi) -> str:
    """`tuple` types spelled out, as selectors and eth-abi want them."""
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(canonical_type(part) for part in item['components'])}){kind.removeprefix('tuple')}"


def signature(item: Abi) -> str:
    return f"{item['name']}({','.join(canonical_type(part) for part in item['inputs'])})"


def selector(item: Abi) -> bytes:
    return keccak256(signature(item).encode())[:4]


def topic(item: Abi) -> str:
    return hexed(keccak256(signature(item).encode()))


def named(item: Abi, value: Any) -> Any:
    """A decoded value with its structs as dicts and its addresses checksummed."""
    kind: str = item["type"]
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [named(inner, each) for each in value]
    if kind == "tuple":
        return {part["name"]: named(part, each) for part, each in zip(item["components"], value, strict=True)}
    return checksummed(value) if kind == "address" else value


def _plain(item: Abi, value: Any) -> Any:
    """A caller's value as eth-abi takes it: 0x-strings for bytes become bytes, also in structs and lists."""
    kind: str = item["type"]
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [_plain(inner, each) for each in value]
    if kind == "tuple":
        return tuple(_plain(part, each) for part, each in zip(item["components"], value, strict=True))
    if not kind.startswith("bytes"):
        return value
    data = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
    if kind != "bytes" and len(data) != int(kind.removeprefix("bytes")):
        raise ValueError(f"{len(data)} bytes where {kind} is due")  # eth-abi would pad a shorter one
    return data


def _decode(items: Sequence[Abi], data: bytes) -> list[Any]:
    try:
        values = abi_decode([canonical_type(item) for item in items], data)
    except (DecodingError, OverflowError) as problem:
        raise ChainProblem(f"the RPC answered what the ABI cannot read: {problem}") from None
    return [named(item, value) for item, value in zip(items, values, strict=True)]


@dataclass(frozen=True)
class Contract:
    """One deployed contract: its address and what the ABI says of it."""

    name: str
    address: Address

    @cached_property
    def _abi(self) -> "Interface":
        return interface(self.name)

    def encode(self, function: str, args: Sequence[Any]) -> bytes:
        """Calldata. Raises BadInput if the arguments do not fit."""
        return self._abi.encode(function, args)

    def decode(self, function: str, data: bytes) -> Any:
        """The result: one value as it is, several as a tuple, none as None."""
        return self._abi.decode(function, data)

    def decode_log(self, raw: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Name and arguments of an event; None for one that the ABI does not know."""
        return self._abi.decode_log(raw)

    def error(self, data: bytes) -> Reverted:
        """The custom error in revert data, with its hint."""
        return self._abi.error(data)

    def topics(self, names: Sequence[str] | None = None) -> list[str]:
        """Topic 0 of the named events; of all if None."""
        return [topic(item) for item in self._abi.events.values() if names is None or item["name"] in names]


class Interface:
    """What one artifact file in `abi/` says."""

    def __init__(self, artifact: Abi) -> None:
        abi: list[Abi] = artifact["abi"]
        self.bytecode = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
        self.deployed = bytes.fromhex(artifact["deployedBytecode"].removeprefix("0x"))
        self.immutables: dict[str, list[tuple[int, int]]] = artifact["immutables"]
        self.functions = {item["name"]: item for item in abi if item["type"] == "function"}
        self.events = {topic(item): item for item in abi if item["type"] == "event"}
        self.errors = {selector(item): item for item in [*abi, *_BUILT_IN] if item["type"] == "error"}
        self.constructor: Abi = next((i for i in abi if i["type"] == "constructor"), {"name": "", "inputs": []})

    def encode(self, function: str, args: Sequence[Any]) -> bytes:
        item = self.functions[function]
        return selector(item) + encode_arguments(item, args)

    def decode(self, function: str, data: bytes) -> Any:
        values = _decode(self.functions[function]["outputs"], data)
        return (values[0] if len(values) == 1 else tuple(values)) if values else None

    def decode_log(self, raw: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        item = self.events.get(raw["topics"][0]) if raw["topics"] else None
        if item is None:
            return None
        indexed = [part for part in item["inputs"] if part["indexed"]]
        others = [part for part in item["inputs"] if not part["indexed"]]
        words = b"".join(bytes.fromhex(each[2:]) for each in raw["topics"][1:])
        found = dict(zip([p["name"] for p in indexed], _decode(indexed, words), strict=True))
        data = _decode(others, bytes.fromhex(raw["data"][2:]))
        found |= dict(zip([p["name"] for p in others], data, strict=True))
        return item["name"], {part["name"]: found[part["name"]] for part in item["inputs"]}

    def error(self, data: bytes) -> Reverted:
        item = self.errors.get(data[:4])
        if item is None:
            return Reverted("UnknownError" if data else "RevertedWithoutReason", (hexed(data),) if data else ())
        values = _decode(item["inputs"], data[4:])
        return Reverted(item["name"], tuple(values), hint=HINTS.get(item["name"], ""))


def encode_arguments(item: Abi, args: Sequence[Any]) -> bytes:
    """The ABI encoding of a function's or constructor's arguments. Raises BadInput."""
    try:
        plain = [_plain(part, value) for part, value in zip(item["inputs"], args, strict=True)]
        return abi_encode([canonical_type(part) for part in item["inputs"]], plain)
    except (EncodingError, ValueError, TypeError) as problem:
        raise BadInput(f"{item['name'] or 'constructor'}: the arguments do not fit: {problem}") from None


def decode_arguments(item: Abi, data: bytes) -> tuple[Any, ...]:
    """The inverse of `encode_arguments`. Raises ChainProblem."""
    return tuple(_decode(item["inputs"], data))


@lru_cache
def interface(name: str) -> Interface:
    """The shipped artifact of a contract."""
    return Interface(json.loads(files(__package__).joinpath("abi", f"{name}.json").read_text()))
