"""The strict safetensors check that runs before any library reads a file (P9.1), and the few moves data shards need.

    file     8-byte little-endian length N ‖ N bytes of JSON ‖ tensors, back to back
    JSON     {"name": {"dtype": "F32", "shape": [64, 10], "data_offsets": [begin, end]}, …}, padded with spaces

The format is https://github.com/huggingface/safetensors#format; this reader takes less than that page allows, and in
one way only, so that no two validators can come to different verdicts about the same bytes. It is written on the
standard library alone and finds tensors by offsets it has checked itself; nothing else ever parses the file. There is
no pickle here: a pickle or a zip fails at its first byte.
"""

import json
import math
import reprlib
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from mmap import mmap
from typing import Any, NamedTuple

from heldout.market.errors import BadWeights
from heldout.market.jsontext import nesting

MAX_HEADER = 1 << 20
"""Bytes of JSON: room for every tensor of a graph the scorer takes."""
MAX_TENSORS = 4096
_PREFIX = 8
_ITEM_BYTES = {"F32": 4, "I64": 8}
_FIELDS = {"dtype", "shape", "data_offsets"}
_METADATA = "__metadata__"
_CHUNK = 1 << 22
_DEEPEST = 3
_LONGEST_NUMBER = 15
_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 120
_shown = _shortened.repr
"""What a stranger wrote, cut to a length that fits a message."""

Readable = bytes | memoryview | mmap


@dataclass(frozen=True)
class TensorSpec:
    """What a graph demands of one tensor."""

    shape: tuple[int, ...]
    dtype: str = "F32"


class Entry(NamedTuple):
    """Where one tensor lies: `start` and `end` are bytes from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Tensor:
    """One tensor's values, little-endian, row-major."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def check(data: Readable, spec: Mapping[str, TensorSpec], limit_bytes: int) -> dict[str, Entry]:
    """Where each tensor of a weights file lies, once the file is exactly what the graph demands.

    Raises BadWeights if the file is longer than `limit_bytes`, malformed, holds any other tensors than those of `spec`
    or other shapes or types, or holds a value that is not finite.
    """
    if len(data) > limit_bytes:
        raise BadWeights(f"the file has {len(data)} bytes, the terms allow {limit_bytes}")
    entries = parse(data)
    for name in sorted(entries.keys() ^ spec.keys()):
        raise BadWeights(f"tensor {_shown(name)} is {'missing' if name in spec else 'not in the graph'}")
    for name, wanted in spec.items():
        entry = entries[name]
        if (entry.dtype, entry.shape) != (wanted.dtype, wanted.shape):
            found = f"{entry.dtype} {list(entry.shape)}"
            raise BadWeights(f"tensor {name!r} is {found}, the graph has {wanted.dtype} {list(wanted.shape)}")
        if entry.dtype == "F32" and not all_finite(data, entry):
            raise BadWeights(f"tensor {name!r} holds a value that is not finite")
    return entries


def parse(data: Readable) -> dict[str, Entry]:
    """Every tensor's place in a safetensors file, in file order. Raises BadWeights for anything but one exact file."""
    header, body = _read_header(data)
    header.pop(_METADATA, None)
    if not 0 < len(header) <= MAX_TENSORS:
        raise BadWeights(f"{len(header)} tensors: at least 1 and at most {MAX_TENSORS} are allowed")
    entries = sorted(
        ((name, _read_entry(name, raw, body)) for name, raw in header.items()), key=lambda item: item[1][2:]
    )
    position = body
    for name, entry in entries:
        if entry.start != position:
            gap = entry.start - position
            raise BadWeights(f"tensor {_shown(name)} begins {gap:+d} bytes from the end of the one before")
        position = entry.end
    if position != len(data):
        raise BadWeights(f"the tensors end at byte {position}, the file at {len(data)}")
    return dict(entries)


def all_finite(data: Readable, entry: Entry) -> bool:
    """Whether an F32 tensor holds neither infinity nor NaN.

    A double sums 2**896 of the largest binary32 values before it overflows, and an infinity or NaN never leaves a sum,
    so the sum is finite exactly if every value is.
    """
    for start in range(entry.start, entry.end, _CHUNK):
        values = array("f", bytes(data[start : min(start + _CHUNK, entry.end)]))
        if sys.byteorder == "big":
            values.byteswap()
        if not math.isfinite(sum(values)):
            return False
    return True


def _read_header(data: Readable) -> tuple[dict[str, Any], int]:
    """The JSON object and the byte at which tensors begin."""
    length = int.from_bytes(data[:_PREFIX], "little")
    body = _PREFIX + length
    if len(data) < _PREFIX or not 2 <= length <= MAX_HEADER or body > len(data):
        raise BadWeights("this is not a safetensors file: its header does not fit", hint="pickle and zip are refused")
    text = bytes(data[_PREFIX:body])
    if text[:1] != b"{":
        raise BadWeights("the header does not begin with '{'")
    if nesting(text, _DEEPEST) > _DEEPEST:
        raise BadWeights("the header is nested deeper than tensors are described")
    try:
        header = json.loads(
            text.rstrip(b" ").decode(),
            object_pairs_hook=_without_duplicates,
            parse_int=_whole_number,
            parse_float=_no_such_number,
            parse_constant=_no_such_number,
        )
    except ValueError as problem:
        raise BadWeights(f"the header is not the JSON of a safetensors file: {problem}") from None
    metadata = header.get(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadWeights(f"{_METADATA} may hold strings only")
    return header, body


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadWeights("the header names a key twice")
    return members


def _whole_number(text: str) -> int:
    """A size or an offset: without a sign, which other readers take for a fraction, and never many digits."""
    if len(text) > _LONGEST_NUMBER or text.startswith("-"):
        _no_such_number(text)
    return int(text)


def _no_such_number(text: str) -> None:
    raise BadWeights(f"the header holds {_shown(text)}, where only sizes belong")


def _read_entry(name: str, raw: Any, body: int) -> Entry:
    """One tensor's entry, offsets counted from the beginning of the file."""
    if not isinstance(raw, dict) or raw.keys() != _FIELDS:
        raise BadWeights(f"tensor {_shown(name)} must have exactly {', '.join(sorted(_FIELDS))}")
    dtype, shape, offsets = raw["dtype"], raw["shape"], raw["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        raise BadWeights(f"tensor {_shown(name)} has type {_shown(dtype)}: only {' and '.join(_ITEM_BYTES)} are read")
    if not _are_sizes(shape) or len(shape) > 8 or not _are_sizes(offsets) or len(offsets) != 2:
        raise BadWeights(f"tensor {_shown(name)} has a shape or offsets that are not lists of sizes")
    begin, end = offsets
    if end - begin != math.prod(shape) * _ITEM_BYTES[dtype]:
        raise BadWeights(f"tensor {_shown(name)} spans {end - begin} bytes, its shape {shape} needs another number")
    return Entry(dtype, tuple(shape), body + begin, body + end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**48 for size in value)


# ----------------------------------------------------------------------------------------- writing, and data shards


def encode(tensors: Mapping[str, Tensor]) -> bytes:
    """The one canonical file of these tensors: names sorted, compact JSON, padded with spaces to 8 bytes.

    Raises BadWeights if a tensor's bytes are not those of its shape.
    """
    header: dict[str, Any] = {}
    position = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        if len(tensor.data) != math.prod(tensor.shape) * _ITEM_BYTES[tensor.dtype]:
            raise BadWeights(f"tensor {name!r} holds {len(tensor.data)} bytes, its shape needs another number")
        end = position + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(_PREFIX, "little") + text + b"".join(tensors[name].data for name in sorted(tensors))


def decode(data: Readable) -> dict[str, Tensor]:
    """The tensors of a file. Raises BadWeights as `parse` does."""
    return {
        name: Tensor(entry.dtype, entry.shape, bytes(data[entry.start : entry.end]))
        for name, entry in parse(data).items()
    }


def read_rows(files: Sequence[Readable]) -> dict[str, Tensor]:
    """The rows of `x` and `y` of several data files, one after the other (the job file's `[data] path`).

    Raises BadWeights unless each file holds exactly `x` (F32) and `y` (I64 or F32) with the same number of rows, and
    all files agree about the shape of a row and the type of `y`.
    """
    tables = [decode(file) for file in files]
    if not tables:
        raise BadWeights("there is no data file", hint="put .safetensors files with x and y into the data folder")
    for table in tables:
        if table.keys() != {"x", "y"} or table["x"].dtype != "F32":
            raise BadWeights("a data file must hold exactly x (float32) and y")
        if not table["x"].shape or not table["y"].shape or table["x"].shape[0] != table["y"].shape[0]:
            raise BadWeights("x and y must have the same number of rows, rows first")
        if any(_row_kind(table[name]) != _row_kind(tables[0][name]) for name in ("x", "y")):
            raise BadWeights("data files differ in the shape of a row or in the type of y")
    return {name: _joined([table[name] for table in tables]) for name in ("x", "y")}


def split_rows(table: Mapping[str, Tensor], parts: int, order: Sequence[int]) -> list[bytes]:
    """`parts` files of the rows taken in `order` (a permutation or selection), sizes differing by at most one row."""
    bounds = [len(order) * part // parts for part in range(parts + 1)]
    return [
        encode({name: _taken(tensor, order[begin:end]) for name, tensor in table.items()})
        for begin, end in pairwise(bounds)
    ]


def row_bytes(table: Mapping[str, Tensor]) -> Iterator[bytes]:
    """Each row's values, names in sorted order: equal bytes mean equal rows, which `job check` looks for."""
    names = sorted(table)
    for row in range(table[names[0]].shape[0]):
        yield b"".join(_row(table[name], row) for name in names)


def _row_kind(tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    return tensor.dtype, tensor.shape[1:]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    rows = sum(tensor.shape[0] for tensor in tensors)
    return Tensor(tensors[0].dtype, (rows, *tensors[0].shape[1:]), b"".join(tensor.data for tensor in tensors))


def _taken(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    return Tensor(tensor.dtype, (len(rows), *tensor.shape[1:]), b"".join(_row(tensor, row) for row in rows))


def _row(tensor: Tensor, row: int) -> bytes:
    size = math.prod(tensor.shape[1:]) * _ITEM_BYTES[tensor.dtype]
    return tensor.data[row * size : (row + 1) * size]
