"""P9.4: a node runs known answers at start, and does not vote if one differs."""

from base64 import b64decode
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import score_metrics
from hypothesis import given, settings
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


def test_there_is_a_known_answer_for_each_operator_and_for_sums_at_their_bounds() -> None:
    assert VECTORS.keys() == {example.name for example in EXAMPLES} | {"bound_gemm", "bound_conv", "bound_gemm_53"}


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
