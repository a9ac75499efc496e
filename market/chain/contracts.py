"""The contracts as Python sees them: calls encoded, results, events and custom errors decoded by the shipped ABI.

Types: addresses are checksummed strings, bytes32 and bytes are bytes, structs are dicts by field name.
A 0x-string is accepted wherever a call takes bytes, so a `JobId` is an argument as it stands.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from heldout.market.chain.codec import Abi, Parts, coder_of
from heldout.market.chain.hints import HINTS
from heldout.market.errors import BadInput, ChainProblem, Reverted
from heldout.market.lifecycle import State
from heldout.market.messages import hexed
from heldout.market.terms import Address, keccak256

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


def _parts(items: Sequence[Abi]) -> Parts:
    return Parts([coder_of(item) for item in items])


@contextmanager
def _by_the_rpc() -> Iterator[None]:
    try:
        yield
    except ValueError as problem:
        raise ChainProblem(f"the RPC answered what the ABI cannot read: {problem}") from None


def _decode(items: Sequence[Abi], data: bytes) -> list[Any]:
    with _by_the_rpc():
        return _parts(items).read(data)


class _Event(NamedTuple):
    """How an event is read: indexed arguments from the topics, the others from the data, back in their order."""

    name: str
    indexed: Parts
    others: Parts
    places: dict[str, int]

    @staticmethod
    def of(item: Abi) -> "_Event":
        indexed = [part for part in item["inputs"] if part["indexed"]]
        others = [part for part in item["inputs"] if not part["indexed"]]
        read = [part["name"] for part in (*indexed, *others)]
        places = {part["name"]: read.index(part["name"]) for part in item["inputs"]}
        return _Event(item["name"], _parts(indexed), _parts(others), places)


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
        self._shapes: dict[str, _Event] = {}
        self.errors = {selector(item): item for item in [*abi, *_BUILT_IN] if item["type"] == "error"}
        self.constructor: Abi = next((i for i in abi if i["type"] == "constructor"), {"name": "", "inputs": []})

    def encode(self, function: str, args: Sequence[Any]) -> bytes:
        item = self.functions[function]
        return selector(item) + encode_arguments(item, args)

    def decode(self, function: str, data: bytes) -> Any:
        values = _decode(self.functions[function]["outputs"], data)
        return (values[0] if len(values) == 1 else tuple(values)) if values else None

    def decode_log(self, raw: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        shape = self._shape(raw["topics"][0]) if raw["topics"] else None
        if shape is None:
            return None
        words = b"".join(bytes.fromhex(each[2:]) for each in raw["topics"][1:])
        with _by_the_rpc():
            values = shape.indexed.read(words) + shape.others.read(bytes.fromhex(raw["data"][2:]))
        return shape.name, {name: values[place] for name, place in shape.places.items()}

    def _shape(self, topic: str) -> "_Event | None":
        """Made once for each event: an index decodes them by the hundred thousand."""
        if topic not in self._shapes and topic in self.events:
            self._shapes[topic] = _Event.of(self.events[topic])
        return self._shapes.get(topic)

    def error(self, data: bytes) -> Reverted:
        item = self.errors.get(data[:4])
        if item is None:
            return Reverted("UnknownError" if data else "RevertedWithoutReason", (hexed(data),) if data else ())
        values = _decode(item["inputs"], data[4:])
        shown = [_shown(parameter, value) for parameter, value in zip(item["inputs"], values, strict=True)]
        return Reverted(item["name"], tuple(values), hint=HINTS.get(item["name"], ""), shown=shown)


def _shown(parameter: Abi, value: Any) -> str:
    """An error's value for people: a state by its name, a word as text if it is the name of a field, else as hex."""
    if parameter.get("internalType", "").endswith(".State") and value in iter(State):
        return State(value).name.capitalize()
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return text.decode() if parameter["name"] == "field" and text.isalnum() else hexed(value)
    return str(value)


def encode_arguments(item: Abi, args: Sequence[Any]) -> bytes:
    """The ABI encoding of a function's or constructor's arguments. Raises BadInput."""
    try:
        return _parts(item["inputs"]).encode(args)
    except (ValueError, TypeError) as problem:
        raise BadInput(f"{item['name'] or 'constructor'}: the arguments do not fit: {problem}") from None


def decode_arguments(item: Abi, data: bytes) -> tuple[Any, ...]:
    """The inverse of `encode_arguments`. Raises ChainProblem."""
    return tuple(_decode(item["inputs"], data))


@lru_cache
def interface(name: str) -> Interface:
    """The shipped artifact of a contract."""
    return Interface(json.loads(files(__package__).joinpath("abi", f"{name}.json").read_text()))
