"""P9.1: a strict reader, so no two validators differ about a file. Threats 63 to 65: every file has a verdict."""

import io
import json
import math
import mmap
import pickle
import struct
import sys
import tempfile
import zipfile
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.market.errors import BadWeights
from heldout.market.weights import (
    MAX_HEADER,
    MAX_TENSORS,
    Tensor,
    TensorSpec,
    check,
    decode,
    encode,
    parse,
    read_rows,
    row_bytes,
    split_rows,
)

SPEC = {"a": TensorSpec((2, 3)), "b": TensorSpec((4,))}
ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.linspace(-1, 1, 4, dtype=np.float32)}
LIMIT = 4096
HEADER: dict[str, Any] = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "F32", "shape": [4], "data_offsets": [24, 40]},
}
BODY = ARRAYS["a"].tobytes() + ARRAYS["b"].tobytes()


def file(header: Any = HEADER, body: bytes = BODY) -> bytes:
    """A file with this header: an object to be written as JSON, or the bytes of one."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def with_entry(name: str, **changes: Any) -> bytes:
    return file({**HEADER, name: {**HEADER[name], **changes}})


def with_value(value: float) -> bytes:
    return file(body=BODY[:20] + struct.pack("<f", value) + BODY[24:])


def torch_zip() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    return archive.getvalue()


NESTED = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

GOOD: dict[str, bytes] = {
    "as the library writes it": safetensors.numpy.save(ARRAYS),
    "as we write it": encode({name: Tensor("F32", a.shape, a.tobytes()) for name, a in ARRAYS.items()}),
    "header in another order": file({"b": HEADER["b"], "a": HEADER["a"]}),
    "tensors in another order": file(
        {"b": {**HEADER["b"], "data_offsets": [0, 16]}, "a": {**HEADER["a"], "data_offsets": [16, 40]}},
        BODY[24:] + BODY[:24],
    ),
    "padded with spaces": file(json.dumps(HEADER).encode() + b"     "),
    "metadata of strings": file({"__metadata__": {"format": "pt"}, **HEADER}),
    "smallest and largest values": file(body=struct.pack("<10f", *[3.4028234e38, -3.4028234e38, 1e-45, -0.0, 0.0] * 2)),
}

BAD: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": b"\x01" * 7,
    "a pickle": pickle.dumps({"a": [1.0]}, protocol=2),
    "a torch zip": torch_zip(),
    "only a length": struct.pack("<Q", 2),
    "a header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "the largest header length": b"\xff" * 8 + b"{}",
    "a header above the bound": file(json.dumps(HEADER).encode() + b" " * MAX_HEADER),
    "no tensors": file({}, b""),
    "a list": file([HEADER]),
    "a space first": file(b" " + json.dumps(HEADER).encode()),
    "a byte order mark first": file(b"\xef\xbb\xbf" + json.dumps(HEADER).encode()),
    "no JSON": file(b"{]"),
    "not UTF-8": file(b'{"\xff":1}'),
    "two objects": file(json.dumps(HEADER).encode() + b"{}"),
    "a zero byte after the header": file(json.dumps(HEADER).encode() + b"\0"),
    "deep nesting": file(NESTED),
    "deep nesting behind a quote that never closes": file(b'{"a' + b'\\"' * 400_000),
    "deep nesting of objects": file(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a number of 10,000 digits": file(b'{"a":' + b"9" * 10_000 + b"}"),
    "a tensor named twice": file(
        b'{"a":%s,"b":%s,"a":%s}' % tuple(json.dumps(HEADER[name]).encode() for name in ("a", "b", "a"))
    ),
    "a name twice, once escaped": file(
        b'{"a":%s,"b":%s,"\\u0061":%s}' % tuple(json.dumps(HEADER[name]).encode() for name in ("a", "b", "a"))
    ),
    "a shape twice": file(
        json.dumps(HEADER).encode().replace(b'"dtype": "F32", ', b'"dtype": "F32", "shape": [9], ', 1)
    ),
    "an unknown field": with_entry("a", strides=[3, 1]),
    "a missing field": file({**HEADER, "a": {"dtype": "F32", "shape": [2, 3]}}),
    "an entry that is a list": file({**HEADER, "a": [0, 24]}),
    "metadata with a number": file({"__metadata__": {"step": 3}, **HEADER}),
    "metadata that is a list": file({"__metadata__": [], **HEADER}),
    "float16": with_entry("a", dtype="F16", shape=[2, 6]),
    "float64": with_entry("a", dtype="F64", shape=[1, 3]),
    "int64 for float32": with_entry("a", dtype="I64", shape=[1, 3]),
    "bfloat16": with_entry("a", dtype="BF16", shape=[4, 3]),
    "lower case type": with_entry("a", dtype="f32"),
    "a type that is a list": with_entry("a", dtype=["F32"]),
    "the shape turned": with_entry("a", shape=[3, 2]),
    "the shape flat": with_entry("a", shape=[6]),
    "an axis too many": with_entry("a", shape=[2, 3, 1]),
    "a negative size": with_entry("a", shape=[-2, -3]),
    "a size of minus nothing": file(json.dumps(HEADER).encode().replace(b"[0, 24]", b"[-0, 24]")),
    "a size that is a float": with_entry("a", shape=[2.0, 3]),
    "a size that is true": with_entry("b", shape=[True, 4]),
    "a size in words": with_entry("a", shape=["2", 3]),
    "a size of infinity": file(json.dumps(HEADER).encode().replace(b"[2, 3]", b"[Infinity, 3]")),
    "sizes whose product wraps": with_entry("a", shape=[2**32, 2**32]),
    "a negative offset": with_entry("a", data_offsets=[-24, 0]),
    "offsets swapped": with_entry("a", data_offsets=[24, 0]),
    "three offsets": with_entry("a", data_offsets=[0, 24, 40]),
    "overlapping tensors": with_entry("b", data_offsets=[20, 36]),
    "the same bytes for both": file(
        {"a": {**HEADER["a"], "shape": [4], "data_offsets": [0, 16]}, "b": {**HEADER["b"], "data_offsets": [0, 16]}}
    ),
    "a gap": file({**HEADER, "b": {**HEADER["b"], "data_offsets": [28, 44]}}, BODY + bytes(4)),
    "a gap before the first": file(
        {name: {**e, "data_offsets": [o + 4 for o in e["data_offsets"]]} for name, e in HEADER.items()}, bytes(4) + BODY
    ),
    "trailing bytes": file() + b"\0",
    "a truncated tensor": file()[:-1],
    "a tensor missing": file({"a": HEADER["a"]}, BODY[:24]),
    "a tensor too many": file(
        {**HEADER, "c": {"dtype": "F32", "shape": [1], "data_offsets": [40, 44]}}, BODY + bytes(4)
    ),
    "an empty tensor too many": file({**HEADER, "c": {"dtype": "F32", "shape": [0], "data_offsets": [40, 40]}}),
    "another name": file({"A": HEADER["a"], "b": HEADER["b"]}),
    "a look-alike name": file({"\u0430": HEADER["a"], "b": HEADER["b"]}),
    "20,000 tensors": file(
        {str(i): {"dtype": "F32", "shape": [], "data_offsets": [4 * i, 4 * i + 4]} for i in range(20_000)},
        bytes(80_000),
    ),
    "not a number": with_value(math.nan),
    "infinity": with_value(math.inf),
    "minus infinity": with_value(-math.inf),
    "both infinities": file(body=BODY[:16] + struct.pack("<ff", math.inf, -math.inf) + BODY[24:]),
    "a signalling NaN": file(body=BODY[:20] + b"\x01\x00\x80\x7f" + BODY[24:]),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD.keys())
def test_a_file_that_is_exactly_what_the_graph_demands_passes(data: bytes) -> None:
    """P9.1, and the tensors are where the library finds them."""
    entries = check(data, SPEC, LIMIT)
    for name, expected in safetensors.numpy.load(data).items():
        entry = entries[name]
        assert data[entry.start : entry.end] == expected.tobytes()
        assert entry.shape == expected.shape


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_every_other_file_is_bad(data: bytes) -> None:
    """P9.1, threats 63, 64 and 65: each one refused, by this error and no other."""
    with pytest.raises(BadWeights):
        check(data, SPEC, 1 << 20 if len(data) < 1 << 20 else 1 << 22)


def test_a_file_above_the_limit_is_bad_unread() -> None:
    """P1.5."""
    with pytest.raises(BadWeights, match="allow"):
        check(file(), SPEC, len(file()) - 1)
    assert check(file(), SPEC, len(file()))


def test_what_a_stranger_wrote_is_cut_before_it_is_told() -> None:
    """A message goes to logs, to people and to other programs: a name of a megabyte does not."""
    long = "a" * 500_000
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for header in ({long: entry}, {long: 3}, {"a": {**entry, "dtype": long}}, {"a": {**entry, long: 1}}):
        with pytest.raises(BadWeights) as refused:
            check(file(header, bytes(4)), SPEC, 1 << 20)
        assert len(refused.value.message) < 400
    with pytest.raises(BadWeights) as refused:
        check(file(b'{"a":%s}' % (b"1" * 500_000 + b".5")), SPEC, 1 << 20)
    assert len(refused.value.message) < 400


def test_the_bound_on_tensors_is_exact() -> None:
    """Threat 65."""

    def many(count: int) -> bytes:
        return encode({f"{i:05}": Tensor("F32", (), bytes(4)) for i in range(count)})

    assert len(parse(many(MAX_TENSORS))) == MAX_TENSORS
    with pytest.raises(BadWeights, match="tensors"):
        parse(many(MAX_TENSORS + 1))


def test_brackets_and_quotes_in_a_name_are_no_nesting() -> None:
    name = 'blocks[0]["{[\\'
    assert list(parse(safetensors.numpy.save({name: np.zeros(3, np.float32)}))) == [name]


def test_deep_nesting_is_bad_whatever_the_recursion_limit() -> None:
    """Threat 64: some libraries raise the limit, and the JSON reader would then exhaust the stack, and end the node."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        with pytest.raises(BadWeights, match="nested"):
            parse(file(NESTED))
    finally:
        sys.setrecursionlimit(limit)


def test_memory_maps_and_views_are_read_like_bytes() -> None:
    with tempfile.TemporaryFile() as disk:
        disk.write(file())
        disk.flush()
        with mmap.mmap(disk.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert check(mapped, SPEC, LIMIT) == check(file(), SPEC, LIMIT) == check(memoryview(file()), SPEC, LIMIT)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_file_is_bad_or_still_exact(data: st.DataObject) -> None:
    """Threat 64: whatever bytes change, there is a verdict, and what passes the library reads to the same values."""
    changed = bytearray(GOOD["as we write it"])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        removed = data.draw(st.integers(0, 2))
        changed[place : place + removed] = data.draw(st.binary(max_size=2))
    try:
        entries = check(bytes(changed), SPEC, LIMIT)
    except BadWeights:
        return
    for name, expected in safetensors.numpy.load(bytes(changed)).items():
        assert changed[entries[name].start : entries[name].end] == expected.tobytes()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_bad(noise: bytes) -> None:
    """Threat 64: no input makes the reader fail in another way."""
    with pytest.raises(BadWeights):
        check(struct.pack("<Q", len(noise)) + noise, SPEC, LIMIT)


# -------------------------------------------------------------------------------------------------------- data shards


def rows_file(rows: int, *, start: int = 0, kind: type = np.int64) -> bytes:
    x = np.arange(start * 6, (start + rows) * 6, dtype=np.float32).reshape(rows, 2, 3)
    return safetensors.numpy.save({"x": x, "y": np.arange(start, start + rows).astype(kind)})


def test_writing_and_reading_give_the_same_tensors_and_one_canonical_file() -> None:
    tensors = decode(safetensors.numpy.save(ARRAYS))
    assert decode(encode(tensors)) == tensors
    assert encode(dict(reversed(tensors.items()))) == encode(tensors)
    assert (8 + struct.unpack("<Q", encode(tensors)[:8])[0]) % 8 == 0


def test_writing_refuses_bytes_that_are_not_those_of_the_shape() -> None:
    with pytest.raises(BadWeights):
        encode({"a": Tensor("F32", (2,), bytes(4))})


def test_rows_of_several_files_are_split_without_losing_or_mixing_one() -> None:
    """P2.4: shards hold every row once, x and y together, in sizes that differ by at most one."""
    table = read_rows([rows_file(30), rows_file(17, start=30)])
    order = np.random.default_rng(1).permutation(47).tolist()
    shards = [safetensors.numpy.load(shard) for shard in split_rows(table, 20, order)]
    sizes = [len(shard["y"]) for shard in shards]
    assert max(sizes) - min(sizes) == 1
    assert np.concatenate([shard["y"] for shard in shards]).tolist() == order
    for shard in shards:
        assert np.array_equal(shard["x"][:, 0, 0], shard["y"] * 6)


def test_equal_rows_have_equal_bytes() -> None:
    """`job check` looks for rows that are in two shards."""
    table = read_rows([rows_file(5), rows_file(5, start=3)])
    rows = list(row_bytes(table))
    assert len(rows) == 10 and len(set(rows)) == 8


@pytest.mark.parametrize(
    "files",
    [
        [],
        [safetensors.numpy.save({"x": ARRAYS["a"]})],
        [safetensors.numpy.save({"x": ARRAYS["a"], "y": np.zeros(3, np.int64)})],
        [safetensors.numpy.save({"x": np.zeros((2, 2), np.int64), "y": np.zeros(2, np.int64)})],
        [rows_file(2), rows_file(2, kind=np.float32)],
        [rows_file(2), safetensors.numpy.save({"x": np.zeros((2, 7), np.float32), "y": np.zeros(2, np.int64)})],
        [b"x,y\n1,2\n"],
    ],
    ids=["none", "no y", "lengths differ", "x of integers", "types of y differ", "rows differ", "a table of text"],
)
def test_data_files_that_are_no_rows_are_refused(files: list[bytes]) -> None:
    with pytest.raises(BadWeights):
        read_rows(files)
