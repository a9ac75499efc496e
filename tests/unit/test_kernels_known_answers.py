"""P9.4: a node runs known answers at start, and does not vote if one differs."""

from base64 import b64decode
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import score_metrics
from hypothesis import example, given, settings
from hypothesis import strategies as st
from score_graphs import EXAMPLES
from score_vectors import outputs_of

from heldout.kernels import child
from heldout.kernels.devices.interface import Exact
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.errors import SelfTestFailed
from heldout.kernels.known_answers import known_answers, self_test
from heldout.kernels.metrics import METRICS, score_ppm
from heldout.kernels.score import read_tensors

VECTORS = {vector["name"]: vector for vector in known_answers()}


class WrongDevice(NumpyDevice):
    """A device that is off by the last bit, in one sum of one row."""

    name = "wrong"

    def multiply(self, left: Exact, right: Exact) -> Exact:
        sums = super().multiply(left, right)
        sums[..., -1, -1] = np.nextafter(sums[..., -1, -1], np.inf)
        return sums


def test_this_machine_reproduces_every_known_answer() -> None:
    """P9.4, here and in the process that a node starts."""
    assert self_test() == len(VECTORS) > 20
    assert child.self_test() == len(VECTORS)


def test_one_wrong_bit_fails_the_self_test() -> None:
    """P9.4."""
    with pytest.raises(SelfTestFailed, match="wrong"):
        self_test(WrongDevice())


class FlushingSums(NumpyDevice):
    """A device that has no denormals where it sums, as GPUs may: none of inputs, products or partial sums."""

    name = "flushing sums"

    def multiply(self, left: Exact, right: Exact) -> Exact:
        sums = np.zeros_like(np.matmul(left, right))
        for k in range(left.shape[-1]):
            products = flushed(flushed(left[..., :, k, None]) * flushed(right[..., None, k, :]))
            sums = flushed(sums + products)
        return sums


class FlushingSteps(NumpyDevice):
    """A CPU on which some library has switched denormals off."""

    name = "flushing steps"

    def combine(self, function: str, left: Exact, right: Exact, out: Exact | None = None) -> Exact:
        result = super().combine(function, left, right, out)
        result[...] = flushed(result)
        return result


def flushed(x: Exact) -> Exact:
    return np.where(np.abs(x) < 2.0**-126, x.dtype.type(0), x) if x.dtype == np.float32 else x


def test_a_device_may_have_no_denormals_where_it_sums() -> None:
    """interface.Device: no step of a sum is denormal, so GPUs may differ there, and have the same bits."""
    assert self_test(FlushingSums()) == len(VECTORS)


def test_a_cpu_without_denormals_may_not_vote() -> None:
    """P9.4: a library compiled for speed can switch them off for the whole process."""
    with pytest.raises(SelfTestFailed, match="not reproduced"):
        self_test(FlushingSteps())


def test_there_is_a_known_answer_for_each_operator_and_for_sums_at_their_bounds() -> None:
    edges = {
        "bound_gemm",
        "bound_conv",
        "bound_gemm_53",
        "gather_nd",
        "third_power",
        "product_of_tiny_values",
        "underflow",
    }
    assert VECTORS.keys() == {example.name for example in EXAMPLES} | edges


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_known_answers_are_those_of_rational_arithmetic(vector: dict[str, Any]) -> None:
    """P9.2: the files were not written by what they test."""
    assert outputs_of(vector) == vector["outputs"]


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_known_scores_are_those_of_fractions(vector: dict[str, Any]) -> None:
    """P3.1: each metric once more, in Python's integers."""
    labels = read_tensors(b64decode(vector["rows"]))["y"].tolist()
    outputs = np.frombuffer(bytes.fromhex(vector["outputs"]), "<f4").reshape(len(labels), -1)
    rows = [[Fraction(float(value)) for value in row] for row in outputs]
    assert score_metrics.score(vector["metric"], rows, labels) == vector["score"]


def test_every_metric_has_a_known_score() -> None:
    assert {vector["metric"] for vector in VECTORS.values()} == METRICS.keys()


@settings(max_examples=150, deadline=None)
@example("auc", 12, 2, 2**32 - 2)  # two margins that only rounding makes equal
@given(st.sampled_from(sorted(METRICS)), st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_scores_of_few_rows_are_those_of_fractions(name: str, rows: int, outputs: int, seed: int) -> None:
    """P9.2: ties, classes that do not occur, and values of any size."""
    random = np.random.default_rng(seed)
    outputs = {"auc": min(outputs, 2), "rmse": 1, "mae": 1}.get(name, outputs)
    values = np.round(random.standard_normal((rows, outputs)) * 3, random.integers(0, 4)).astype(np.float32)
    y = random.integers(0, max(outputs, 2), rows)
    metric = METRICS[name]
    labels = metric.read(y, outputs)
    exact = [[Fraction(float(value)) for value in row] for row in values]
    assert score_ppm(metric, metric.predict(values, labels), labels) == score_metrics.score(name, exact, y.tolist())
