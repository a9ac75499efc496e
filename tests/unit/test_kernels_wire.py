"""P9.1, threats 64 and 65: a hostile graph is refused before the protobuf library may spend gigabytes on it."""

import resource
import subprocess
import sys
import time

import onnx
import pytest
from onnx import TensorProto
from score_graphs import EXAMPLES, node, onnx_file

from heldout.kernels.errors import BadGraph
from heldout.kernels.loader import load
from heldout.kernels.wire import MAX_DESCRIPTION, MAX_FIELDS, check_description

GRAPH, NODE, INITIALIZER, METADATA = 7, 1, 5, 14
DIMS, FLOAT_DATA, RAW_DATA = 1, 4, 9
GOOD = onnx_file([node("Gemm", "x w", "y")], (4,), {"w": (4, 3)})
PER_FIELD = 2


def varint(value: int) -> bytes:
    low = [value >> shift & 127 | 128 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*low[:-1], low[-1] & 127])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def many(number: int, count: int) -> bytes:
    """`count` empty fields: two bytes each in the file, a whole object each once it is parsed."""
    return field(number, b"") * count


BOMBS = {
    "nodes": GOOD + field(GRAPH, many(NODE, MAX_FIELDS)),
    "attributes of one node": GOOD + field(GRAPH, field(NODE, many(5, MAX_DESCRIPTION // PER_FIELD))),
    "initialisers": GOOD + field(GRAPH, many(INITIALIZER, MAX_FIELDS)),
    "external data of one initialiser": GOOD + field(GRAPH, field(INITIALIZER, many(13, MAX_FIELDS))),
    "inputs": GOOD + field(GRAPH, field(11, many(1, MAX_DESCRIPTION // PER_FIELD))),
    "metadata": GOOD + many(METADATA, MAX_FIELDS),
    "graphs": GOOD + many(GRAPH, MAX_FIELDS),
    "fields of no message": GOOD + many(30, MAX_FIELDS),
    "axes of one initialiser": GOOD + field(GRAPH, field(INITIALIZER, field(DIMS, b"\2" * MAX_DESCRIPTION))),
    "empty values": GOOD + field(GRAPH, field(INITIALIZER, many(RAW_DATA, MAX_FIELDS))),
}

BROKEN = {
    "a group": b"\x0b\x0c",
    "a kind that is not": b"\x0f",
    "a field beyond the end": b"\x3a\x05\x0a",
    "a number beyond the end": b"\x08\x80",
    "a number of eleven bytes": b"\x08" + b"\x80" * 10 + b"\x01",
    "a fixed number beyond the end": b"\x0d\x00\x00",
    "a length beyond any file": b"\x3a" + b"\xff" * 9 + b"\x01",
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_small_file_that_would_become_large_objects_is_refused_unparsed(data: bytes) -> None:
    """Threat 65."""
    with pytest.raises(BadGraph, match="besides the values"):
        load(data)


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_the_wire_format_is_refused(data: bytes) -> None:
    with pytest.raises(BadGraph):
        check_description(data)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_every_graph_of_the_standard_passes(example: object) -> None:
    check_description(example.graph())  # type: ignore[attr-defined]


def test_values_of_initialisers_do_not_count() -> None:
    """Exporters write them; they take in memory what they take in the file."""
    for kind in (RAW_DATA, FLOAT_DATA):
        check_description(GOOD + field(GRAPH, field(INITIALIZER, field(kind, bytes(8 * MAX_DESCRIPTION)))))


def test_the_bound_is_exact() -> None:
    empty = len(GOOD) + len(field(METADATA, bytes(MAX_DESCRIPTION // 2))) - MAX_DESCRIPTION // 2
    check_description(GOOD + field(METADATA, bytes(MAX_DESCRIPTION - empty)))
    with pytest.raises(BadGraph):
        check_description(GOOD + field(METADATA, bytes(MAX_DESCRIPTION - empty + 1)))


def test_an_initialiser_of_20_000_axes_is_no_graph() -> None:
    """The product of so many sizes is a number of megabytes: computing it would take minutes."""
    with pytest.raises(BadGraph, match="axes"):
        load(onnx_file([node("Gemm", "x w", "y")], (4,), {"w": [2] * 20_000}))


@pytest.mark.parametrize(
    "data",
    [
        onnx_file([node("Gemm", "x w", "y")], (4,), {"w": (4, 1 << 40)}),
        onnx_file([node("MatMul", "x w", "y")], (1 << 20, 4), {"w": (4, 1 << 20)}),
        onnx_file([node("Relu", "x", "y")], (1 << 30,), {}),
        onnx_file([node("Conv", "x w", "y", pads=[1 << 16] * 4)], (1, 6, 6), {"w": (2, 1, 3, 3)}),
    ],
    ids=["weights", "a product", "a row", "paddings"],
)
def test_a_tensor_that_no_machine_would_hold_is_refused_before_anything_runs(data: bytes) -> None:
    """P9.1: limits of sizes are the graph's, not the machine's."""
    with pytest.raises(BadGraph, match="elements"):
        load(data)


def test_the_worst_description_is_parsed_in_bounded_memory_and_time() -> None:
    """As much as the bounds allow, in the objects that grow most: attributes of one node."""
    inside = many(5, MAX_DESCRIPTION // PER_FIELD - 500)
    data = GOOD + field(GRAPH, field(NODE, inside))
    script = (
        "import sys; from heldout.kernels.loader import load; from heldout.kernels.errors import BadGraph\n"
        "try: load(sys.stdin.buffer.read())\n"
        "except BadGraph as problem: print(problem.message)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=data,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )
    assert done.returncode == 0, done.stderr
    assert b"is not defined" in done.stdout
    assert time.monotonic() - began < 30


def test_an_initialiser_with_float_values_is_read_whichever_way_they_are_written() -> None:
    tensors = [
        TensorProto(name="w", dims=[4, 3], data_type=1, raw_data=bytes(48)),
        TensorProto(name="w", dims=[4, 3], data_type=1, float_data=[0.0] * 12),
    ]
    for tensor in tensors:
        model = onnx.ModelProto.FromString(GOOD)
        model.graph.initializer[0].CopyFrom(tensor)
        assert load(model.SerializeToString()) == load(GOOD)
