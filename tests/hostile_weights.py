"""Weights files as an attacker would write them: made from a number, so that a verdict can be asked for again.

A file is first a list of JSON texts, so that a key can stand twice, a number can be written in any way and a name can
be escaped; then bytes, so that a length, a tensor or anything else can be wrong. About one in five is a good file.
"""

import json
import math
import struct
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import numpy as np
import safetensors.numpy

from heldout.market.errors import BadWeights
from heldout.market.weights import Entry, TensorSpec, check

SPEC = {"w": TensorSpec((2, 3)), "layers[0].{b}": TensorSpec((4,)), "scale": TensorSpec(())}
LIMIT = 1 << 12
T = TypeVar("T")
_NUMBERS = (
    "0 1 2 3 4 6 7 8 16 24 40 44 48 -0 -1 -24 1.0 24.0 2.4e1 1e400 0x18 true false null NaN Infinity -Infinity "
    "255 256 4294967295 4294967296 281474976710655 281474976710656 9223372036854775807 9223372036854775808 "
    "18446744073709551616 " + "9" * 400 + " " + "9" * 5000
).split()
_TEXTS = (
    *('"w"', '"layers[0].{b}"', '"scale"', '"\\u0077"', '"W"', '"\u0430"', '""', '"__metadata__"', '"dtype"'),
    *('"shape"', '"data_offsets"', '"F32"', '"I64"', '"F16"', '"f32"', '"BF16"', '"\\ud800"', '"\\u0000"', '"a'),
    *(
        "'w'",
        "[]",
        "[2, 3]",
        "[3, 2]",
        "[6]",
        "[0, 24]",
        "[24, 40]",
        "[[2], 3]",
        "{}",
        '{"a": {"b": {}}}',
        f'"{"n" * 3000}"',
    ),
)
_NAMES = {name: json.dumps(name) for name in SPEC}
_ANYTHING = (*_TEXTS, *_NUMBERS)
_METADATA = ('{"format": "pt"}', "{}", '{"a": "1", "a": "2"}', '{"a": 1}', '{"a": {"b": "c"}}', "[]", "null", '"x"')
_GAPS = ("", "", "", "", " ", "\n", "\t", "\r\n", "\x0b", "\ufeff", "/**/", ",")
_WORDS = (0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x7F7FFFFF, 0x00000001, 0x80000000, 0x3F800000)

Members = list[list[str]]
"""Pairs of a key and a value, both JSON text."""


class Forger:
    """Makes one file. The same number makes the same file on every machine and version of Python."""

    def __init__(self, number: int) -> None:
        self._random = Random(number).random  # the one method whose numbers never change
        self._tensors = [(_NAMES[name], self._entry(*place)) for name, *place in self._layout()]

    def file(self) -> bytes:
        """Up to three changes to the JSON, then at times one to the bytes."""
        for _ in range(self._below(4)):
            self._one_of((self._change_text, self._change_list, self._change_place, self._change_members))()
        texts = [f"{key}:{self._object(entry)}" for key, entry in self._tensors]
        if self._below(8) == 0:
            metadata = self._one_of(_METADATA)
            texts.insert(self._below(len(texts) + 1), f'"__metadata__":{metadata}')
        return self._bytes("{" + ",".join(texts) + "}")

    def _layout(self) -> list[tuple[str, list[int], int, int]]:
        """Each tensor's name, shape and offsets, in one of the orders."""
        names, position, layout = list(SPEC), 0, []
        while names:
            name = names.pop(self._below(len(names)) if self._below(3) == 0 else 0)
            shape = list(SPEC[name].shape)
            size = 4 * math.prod(shape)
            layout.append((name, shape, position, position + size))
            position += size
        return layout

    def _entry(self, shape: list[int], begin: int, end: int) -> Members:
        return [['"dtype"', '"F32"'], ['"shape"', str(shape)], ['"data_offsets"', str([begin, end])]]

    def _change_text(self) -> None:
        """One key or value becomes something else."""
        member = self._one_of(self._one_of(self._tensors)[1] or [["", ""]])
        member[self._below(2)] = self._one_of(_ANYTHING)

    def _change_list(self) -> None:
        """One number of a shape or of offsets becomes another, is joined by another, or goes."""
        member = self._one_of(self._one_of(self._tensors)[1] or [["", ""]])
        numbers = [number for number in member[1].strip("[]").split(", ") if number]
        place = self._below(len(numbers) + 1)
        added = [self._one_of(_NUMBERS), str(4 * self._below(12)), str(self._below(7)), ""][self._below(4)]
        numbers[place : place + self._below(2)] = [added] if added else []
        member[1] = "[" + ", ".join(numbers) + "]"

    def _change_place(self) -> None:
        """A tensor lies elsewhere, over another or beyond the end, or has the same elements in another shape."""
        entry = self._one_of(self._tensors)[1]
        shape = self._one_of(
            ("[2, 3]", "[3, 2]", "[6]", "[1, 6]", "[4]", "[2, 2]", "[4, 1]", "[]", "[1]", "[0]", "[11]")
        )
        begin, size = 4 * self._below(11), 4 * self._one_of((0, 1, 4, 4, 6, 6, 10, 11))
        for member in entry:
            if member[0] == '"shape"' and self._below(2):
                member[1] = shape
            elif member[0] == '"data_offsets"' and self._below(2):
                member[1] = f"[{begin}, {begin + size}]"

    def _change_members(self) -> None:
        """A tensor or a field is doubled, dropped, moved, or named as another."""
        tensor = self._below(len(self._tensors))
        name, entry = self._tensors[tensor]
        match self._below(6):
            case 0:
                self._tensors.insert(self._below(len(self._tensors) + 1), (name, [list(member) for member in entry]))
            case 1 if len(self._tensors) > 1:
                del self._tensors[tensor]
            case 2:
                self._tensors[tensor] = (self._one_of(_TEXTS), entry)
            case 3 if entry:
                entry.append(list(self._one_of(entry)))
            case 4 if entry:
                entry.pop(self._below(len(entry)))
            case _:
                self._tensors.append(self._tensors.pop(tensor))

    def _object(self, entry: Members) -> str:
        return "{" + ",".join(f"{key}{self._gap()}:{self._gap()}{value}" for key, value in entry) + "}"

    def _gap(self) -> str:
        return self._one_of(_GAPS) if self._below(60) == 0 else ""

    def _bytes(self, header: str) -> bytes:
        text = header.encode()
        text += b" " * (-len(text) % 8)
        values = struct.pack("<11f", *(self._random() - 0.5 for _ in range(11)))
        data = bytearray(struct.pack("<Q", len(text)) + text + values)
        for _ in range(self._below(3) // 2):
            self._one_of((self._change_length, self._change_word, self._change_word, self._change_bytes, self._cut))(
                data
            )
        return bytes(data)

    def _change_length(self, data: bytearray) -> None:
        length = int.from_bytes(data[:8], "little") + self._one_of((-8, -1, 1, 8, 1 << 20, 1 << 32, 1 << 62))
        data[:8] = struct.pack("<Q", length % (1 << 64))

    def _change_word(self, data: bytearray) -> None:
        """One value of a tensor becomes a special one."""
        place = max(0, len(data) - 4 * (1 + self._below(11)))
        data[place : place + 4] = struct.pack("<I", self._one_of(_WORDS))

    def _change_bytes(self, data: bytearray) -> None:
        place = self._below(len(data) + 1)
        data[place : place + self._below(4)] = bytes(self._below(256) for _ in range(self._below(4)))

    def _cut(self, data: bytearray) -> None:
        if self._below(2):
            del data[self._below(len(data) + 1) :]
        else:
            data += bytes(1 + self._below(LIMIT))

    def _below(self, bound: int) -> int:
        return int(self._random() * bound)

    def _one_of(self, values: Sequence[T]) -> T:
        return values[self._below(len(values))]


def forge(number: int) -> bytes:
    return Forger(number).file()


def judge(data: bytes) -> bytes:
    """Where each tensor lies, or nothing for a bad file. Any error but BadWeights is a failure of the reader.

    Some are judged twice, as bytes and as a view; what passes must be what the library reads, and finite.
    """
    found = _entries(data)
    if len(data) % 4 == 0 and found != _entries(memoryview(data)):
        raise AssertionError(f"two verdicts about {data!r}")
    if found is None:
        return b""
    for name, expected in safetensors.numpy.load(data).items():
        entry = found[name]
        if (data[entry.start : entry.end], entry.shape) != (expected.tobytes(), expected.shape):
            raise AssertionError(f"the library reads {name!r} otherwise in {data!r}")
        if not np.isfinite(expected).all():
            raise AssertionError(f"{name!r} is not finite in {data!r}")
    return json.dumps(found, sort_keys=True).encode()


def _entries(data: bytes | memoryview) -> dict[str, Entry] | None:
    try:
        return check(data, SPEC, LIMIT)
    except BadWeights:
        return None
