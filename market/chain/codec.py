"""The contracts' encoding of values (Solidity documentation, "Contract ABI Specification"), both ways and strictly.

A value is words of 32 bytes; what has no fixed length lies behind the rest, and an offset stands in its place:

    (uint8 a, bytes b, uint8 c)     │ a │ offset of b │ c │ length of b │ b, padded with zeros │
                                    ╰─────── head ────────╯─────────────── tail ───────────────╯

What is read must be as Solidity writes it: padding is zero, numbers are within their types, and tails neither overlap
nor run backwards, so that no answer is larger once it is read. eth-abi reads and writes the same bytes (the tests hold
us to it), and keeps 7 MB of grammar and helpers in memory to do so: docs/decisions/0021-abi-codec.md.

Bytes are written from `bytes` or 0x-text, a struct from a sequence. Addresses are read checksummed, structs as dicts by
field name, arrays as lists.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from heldout.market.signatures import checksummed

Abi = dict[str, Any]
WORD: Final = 32
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")
_ARRAY: Final = re.compile(r"(.*)\[(\d*)\]")


class Coder(ABC):
    """One type. Raises ValueError for values and bytes that are not of it."""

    size = WORD
    """Bytes in the head."""
    dynamic = False

    @abstractmethod
    def encode(self, value: Any) -> bytes: ...

    @abstractmethod
    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        """The value that begins at `at`, and where the next one may begin."""


class Number(Coder):
    """`uintN`, and `bool` as one of one bit."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def encode(self, value: Any) -> bytes:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << self._bits:
            raise ValueError(f"{value!r} is no uint{self._bits}")
        return value.to_bytes(WORD, "big")

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        value = int.from_bytes(_taken(data, at, WORD), "big")
        if value >> self._bits:
            raise ValueError(f"{value} is no uint{self._bits}")
        return value, at + WORD


class Bool(Coder):
    def encode(self, value: Any) -> bytes:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is no bool")
        return int(value).to_bytes(WORD, "big")

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        value, end = _BIT.decode(data, at)
        return bool(value), end


class Account(Coder):
    """`address`."""

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
            raise ValueError(f"{value!r} is no address")
        if value[2:] not in (value[2:].lower(), value[2:].upper()) and checksummed(value) != value:
            raise ValueError(f"{value} has the capitals of another address (EIP-55)")
        return bytes.fromhex(value[2:]).rjust(WORD, b"\0")

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        word = bytes(_taken(data, at, WORD))
        if any(word[:12]):
            raise ValueError("an address has 20 bytes")
        return checksummed(word[12:]), at + WORD


class FixedBytes(Coder):
    """`bytesN`."""

    def __init__(self, length: int) -> None:
        self._length = length

    def encode(self, value: Any) -> bytes:
        given = _bytes_of(value)
        if len(given) != self._length:
            raise ValueError(f"{len(given)} bytes where bytes{self._length} is due")
        return given.ljust(WORD, b"\0")

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        word = bytes(_taken(data, at, WORD))
        if any(word[self._length :]):
            raise ValueError(f"bytes{self._length} is not padded with zeros")
        return word[: self._length], at + WORD


class Bytes(Coder):
    """`bytes`, and `string` as the UTF-8 of one."""

    dynamic = True

    def __init__(self, text: bool) -> None:
        self._text = text

    def encode(self, value: Any) -> bytes:
        given = value.encode() if self._text and isinstance(value, str) else _bytes_of(value)
        return len(given).to_bytes(WORD, "big") + given + bytes(-len(given) % WORD)

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        length, start = _COUNT.decode(data, at)
        end = start + length + -length % WORD
        found = bytes(_taken(data, start, end - start))
        if any(found[length:]):
            raise ValueError("bytes are not padded with zeros")
        value = found[:length]
        return value.decode() if self._text else value, end


class Parts(Coder):
    """Values of several types one after another: arguments, a struct's fields, the items of an array."""

    def __init__(self, coders: Sequence[Coder]) -> None:
        self._coders = coders
        self.head = sum(WORD if coder.dynamic else coder.size for coder in coders)
        self.dynamic = any(coder.dynamic for coder in coders)
        self.size = WORD if self.dynamic else self.head

    def encode(self, value: Any) -> bytes:
        head, tail = b"", b""
        for coder, each in zip(self._coders, value, strict=True):
            written = coder.encode(each)
            if coder.dynamic:
                head += (self.head + len(tail)).to_bytes(WORD, "big")
                tail += written
            else:
                head += written
        return head + tail

    def read(self, data: bytes) -> list[Any]:
        """All values; bytes after them do not matter."""
        values: list[Any] = Parts.decode(self, memoryview(data), 0)[0]
        return values

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        place, end = at, at + self.head
        values = []
        for coder in self._coders:
            if coder.dynamic:
                offset, place = _COUNT.decode(data, place)
                if at + offset < end:
                    raise ValueError("what lies behind a head overlaps what is before it")
                value, end = coder.decode(data, at + offset)
            else:
                value, place = coder.decode(data, place)
            values.append(value)
        return values, end


class Struct(Parts):
    """A tuple with names."""

    def __init__(self, names: Sequence[str], coders: Sequence[Coder]) -> None:
        super().__init__(coders)
        self._names = names

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        values, end = super().decode(data, at)
        return dict(zip(self._names, values, strict=True)), end


class List(Coder):
    """`T[]`."""

    dynamic = True

    def __init__(self, inner: Coder) -> None:
        self._inner = inner

    def encode(self, value: Any) -> bytes:
        return len(value).to_bytes(WORD, "big") + Parts([self._inner] * len(value)).encode(value)

    def decode(self, data: memoryview, at: int) -> tuple[Any, int]:
        length, start = _COUNT.decode(data, at)
        if length * self._inner.size > len(data) - start:
            raise ValueError(f"{length} items where there is no room for them")
        return Parts([self._inner] * length).decode(data, start)


_BIT: Final = Number(1)
_COUNT: Final = Number(64)


def coder_of(item: Abi) -> Coder:
    """The coder of an ABI's parameter. Raises ValueError for types that no contract of ours has."""
    kind: str = item["type"]
    if array := _ARRAY.fullmatch(kind):
        inner = coder_of({**item, "type": array[1]})
        return Parts([inner] * int(array[2])) if array[2] else List(inner)
    if kind == "tuple":
        return Struct([part["name"] for part in item["components"]], [coder_of(part) for part in item["components"]])
    named: dict[str, Coder] = {"bool": Bool(), "address": Account(), "bytes": Bytes(False), "string": Bytes(True)}
    if kind in named:
        return named[kind]
    for prefix, kind_of, most, step in (("uint", Number, 256, 8), ("bytes", FixedBytes, 32, 1)):
        digits = kind.removeprefix(prefix)
        if digits.isdecimal() and digits != kind and int(digits) in range(step, most + 1, step):
            return kind_of(int(digits))
    raise ValueError(f"no coder for {kind}")


def _taken(data: memoryview, at: int, length: int) -> memoryview:
    if at + length > len(data):
        raise ValueError(f"{len(data)} bytes end before {at + length}")
    return data[at : at + length]


def _bytes_of(value: Any) -> bytes:
    """Raises ValueError, also for a number, of which `bytes` would make as many zeros."""
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ValueError(f"{value!r} is not bytes")
    return bytes(value)
