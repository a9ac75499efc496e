"""A look at an ONNX file's bytes before the protobuf library parses them (P9.1).

Parsing multiplies: an empty node takes 2 bytes in the file and some 90 in memory, so a file within the limit of bytes
could demand gigabytes, and whether it then reads as a graph would depend on how much memory a validator has. Everything
but the values of initialisers is therefore bounded first; values take in memory what they take in the file.

The format is https://protobuf.dev/programming-guides/encoding; fields are walked over and never interpreted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from heldout.kernels.errors import BadGraph

MAX_DESCRIPTION = 1 << 22
"""Bytes of everything in the file but the values of initialisers."""
MAX_FIELDS = 1 << 18
"""Fields walked over: those of the model, of its graph and of each initialiser."""

_LONGEST_VARINT = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VALUES: Mapping[int, Any] = {}
_MODEL: Mapping[int, Any] = {7: {5: {4: _VALUES, 9: _VALUES}}}
"""Fields to look into: the model's graph, its initialisers, their packed `float_data` and `raw_data`."""


def check_description(data: bytes) -> None:
    """Raises BadGraph unless `data` is protobuf's wire format and describes its graph within these bounds."""
    described = 0
    for count, size in enumerate(_described(data, 0, len(data), _MODEL)):
        described += size
        if described > MAX_DESCRIPTION or count >= MAX_FIELDS:
            raise BadGraph(
                f"the graph takes more than {MAX_DESCRIPTION} bytes, or {MAX_FIELDS} fields, "
                "besides the values of its initialisers"
            )


def _described(data: bytes, start: int, end: int, known: Mapping[int, Any]) -> Iterator[int]:
    """How many bytes each field in data[start:end] adds to the description."""
    while start < end:
        tag, begin = _varint(data, start, end)
        kind, inside = tag & 7, known.get(tag >> 3)
        begin, stop = _content(data, kind, begin, end)
        if kind != _BYTES or inside is None:
            yield stop - start
        else:
            yield begin - start
            if inside is not _VALUES:
                yield from _described(data, begin, stop, inside)
        start = stop


def _content(data: bytes, kind: int, start: int, end: int) -> tuple[int, int]:
    """Where the content of a field lies whose tag ends at `start`."""
    if kind == _VARINT:
        stop = _varint(data, start, end)[1]
    elif kind == _BYTES:
        length, start = _varint(data, start, end)
        stop = start + length
    elif kind in (_FIXED32, _FIXED64):
        stop = start + (8 if kind == _FIXED64 else 4)
    else:
        raise BadGraph("this is not an ONNX file: it holds a field of no kind that ONNX uses")
    if stop > end:
        raise BadGraph("this is not an ONNX file: a field in it ends beyond what holds it")
    return start, stop


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, lowest first, and the byte after it."""
    value = 0
    for place in range(start, min(end, start + _LONGEST_VARINT)):
        value |= (data[place] & 127) << 7 * (place - start)
        if data[place] < 128:
            return value, place + 1
    raise BadGraph("this is not an ONNX file: a number in it does not end")
