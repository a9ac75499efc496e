"""Scores are exact integer arithmetic on one integer per row, and agree with scikit-learn to one ppm (P9.2)."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from heldout.kernels.errors import BadData, BadGraph
from heldout.kernels.logarithms import UNIT_BITS, exp_ppm_down, losses
from heldout.kernels.metrics import METRICS, MOST, score_ppm
from heldout.market.terms import LOWER_IS_BETTER
from heldout.market.terms import METRICS as IDS


def ppm(name: str, outputs: np.ndarray, y: np.ndarray) -> int:
    metric = METRICS[name]
    outputs = outputs.astype(np.float32)
    labels = metric.read(y, outputs.shape[1])
    return score_ppm(metric, metric.predict(outputs, labels), labels)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def drawn(seed: int, rows: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = (random.standard_normal((rows, outputs)) * 3).astype(np.float32)
    return logits, random.integers(0, max(outputs, 2), rows)


def test_ids_and_directions_are_those_of_the_terms() -> None:
    """P2.1: the contract knows metrics by number only."""
    assert {name: metric.id for name, metric in METRICS.items()} == IDS
    assert {name for name, metric in METRICS.items() if metric.lower_is_better} == LOWER_IS_BETTER


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [1, 17, 400])
def test_class_metrics_agree_with_scikit_learn(seed: int, rows: int) -> None:
    """P9.2: rounded down, so never above and less than one part per million below."""
    logits, y = drawn(seed, rows, 5)
    found = logits.argmax(axis=1)
    recalls = [(found[y == label] == label).mean() for label in np.unique(y)]
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(y, found),
        "balanced_accuracy": float(np.mean(recalls)),
        "f1_macro": sklearn_metrics.f1_score(y, found, average="macro", zero_division=0),
    }
    for name, value in expected.items():
        assert 0 <= value * 1e6 + 1e-6 - ppm(name, logits, y) < 1 + 1e-6


def test_balanced_accuracy_agrees_with_scikit_learn() -> None:
    logits, y = drawn(9, 500, 4)
    expected = sklearn_metrics.balanced_accuracy_score(y, logits.argmax(axis=1))
    assert 0 <= expected * 1e6 + 1e-6 - ppm("balanced_accuracy", logits, y) < 1 + 1e-6


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("ties", [False, True])
def test_auc_agrees_with_scikit_learn_ties_included(outputs: int, ties: bool) -> None:
    logits, y = drawn(3, 301, outputs)
    logits = np.round(logits) if ties else logits
    margin = logits[:, -1] - (logits[:, 0] if outputs == 2 else 0)
    expected = sklearn_metrics.roc_auc_score(y, margin)
    assert 0 <= expected * 1e6 + 1e-6 - ppm("auc", logits, y) < 1 + 1e-6


def test_a_loss_over_millions_of_classes_has_the_logarithm_of_its_sum() -> None:
    """A total just below 2**54 units has 54 bits, though binary64 rounds it up to 55."""
    from heldout.kernels.logarithms import _ln

    for total in (2**54 - 1, 2**53 + 1, 2**56 - 1, 2**31 - 1, 2**30):
        expected = math.log(total / 2**30) * 2**UNIT_BITS
        assert abs(int(_ln(np.array([total]))[0]) - expected) < 1


def test_auc_says_nothing_if_a_class_does_not_occur() -> None:
    """Every set of rows has a score, so that no draw of shards can leave a committee without one."""
    assert ppm("auc", np.ones((4, 2)), np.zeros(4, np.int64)) == 500_000


@pytest.mark.parametrize("name", ["rmse", "mae"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_errors_of_values_agree_with_scikit_learn(name: str, dtype: type) -> None:
    """Values are read in units of 2**-20, which is finer than a part per million."""
    random = np.random.default_rng(4)
    outputs = random.standard_normal((250, 1)).astype(np.float32) * 7
    y = (random.standard_normal(250) * 5).astype(dtype)
    measure = {"rmse": sklearn_metrics.root_mean_squared_error, "mae": sklearn_metrics.mean_absolute_error}[name]
    expected = measure(y.astype(np.float64), outputs[:, 0].astype(np.float64))
    assert abs(ppm(name, outputs, y) + 0.5 - expected * 1e6) < 1


@pytest.mark.parametrize("outputs", [1, 2, 10])
def test_losses_agree_with_scikit_learn(outputs: int) -> None:
    """Two parts per million: a half for rounding down, the rest for 2**-20 nat of each row."""
    logits, y = drawn(5, 800, outputs)
    wide = logits if outputs > 1 else np.concatenate([np.zeros_like(logits), logits], axis=1)
    expected = sklearn_metrics.log_loss(y, softmax(wide), labels=list(range(max(outputs, 2))))
    assert abs(ppm("log_loss", logits, y) + 0.5 - expected * 1e6) < 1
    assert abs(ppm("perplexity", logits, y) + 0.5 - math.exp(expected) * 1e6) < 1 + math.exp(expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-80, 80, width=32), min_size=2, max_size=40), st.integers(0, 1))
def test_each_row_of_a_loss_is_within_two_units_of_the_real_one(logits: list[float], label: int) -> None:
    """docs/score-v1.md, Losses: a unit is 2**-20 nat."""
    row = np.array([logits], np.float32)
    exact = -math.log(softmax(row)[0, label]) if softmax(row)[0, label] > 0 else math.nan
    found = int(losses(row, np.array([label]))[0])
    assert found >= 0
    if not math.isnan(exact):
        assert abs(found - exact * 2**UNIT_BITS) <= 2


def test_losses_far_apart_neither_overflow_nor_wrap() -> None:
    """Logits at both ends of the range, 2**100."""
    row = np.array([[2.0**100, -(2.0**100)]], np.float32)
    assert losses(row, np.array([0]))[0] == 0
    assert losses(row, np.array([1]))[0] == 1 << 40
    assert ppm("log_loss", row, np.array([1])) == MOST
    assert ppm("perplexity", row, np.array([1])) == MOST


@given(st.integers(0, 9 << 20))
@settings(max_examples=30, deadline=None)
def test_perplexity_is_exp_rounded_down(units: int) -> None:
    assert exp_ppm_down(Fraction(units, 1 << 20)) == pytest.approx(math.exp(units / (1 << 20)) * 1e6, abs=1, rel=1e-12)


def test_errors_beyond_any_score_are_cut_off_at_the_largest() -> None:
    """P3.1: values above 0xFFFFFF00 are codes."""
    assert ppm("rmse", np.full((2, 1), 2.0**60), np.zeros(2, np.float32)) == MOST


def test_equal_logits_give_the_lowest_class() -> None:
    """Ties must not depend on a library's habit: with two equal logits the lower class is the answer."""
    logits = np.array([[0.0, 5.0, 5.0], [-0.0, 0.0, -1.0]], np.float32)
    assert METRICS["accuracy"].predict(logits, np.zeros(2, np.int64)).tolist() == [1, 0]


def test_margins_keep_the_order_of_float32_and_make_the_zeros_equal() -> None:
    values = np.array([-3e38, -1.0, -1e-40, -0.0, 0.0, 1e-40, 2.0, 3e38], np.float32)
    keys = METRICS["auc"].predict(values[:, None], np.zeros(8, np.int64))
    assert (np.diff(keys) >= 0).all() and keys[3] == keys[4] and len(set(keys.tolist())) == 7


@pytest.mark.parametrize(
    ("name", "outputs", "y", "error"),
    [
        ("accuracy", 3, np.array([0, 3]), BadData),
        ("accuracy", 3, np.array([-1, 0]), BadData),
        ("log_loss", 3, np.array([0.0, 1.0], np.float32), BadData),
        ("auc", 3, np.array([0, 1]), BadGraph),
        ("rmse", 2, np.array([0.0, 1.0], np.float32), BadGraph),
        ("mae", 1, np.array([np.nan, 1], np.float32), BadData),
        ("mae", 1, np.array([5_000_000, 1]), BadData),
        ("rmse", 1, np.zeros((2, 2), np.float32), BadData),
        ("accuracy", 3, np.zeros(0, np.int64), BadData),
    ],
)
def test_labels_a_metric_cannot_read_are_the_requesters_fault(
    name: str, outputs: int, y: np.ndarray, error: type[Exception]
) -> None:
    """P9.1: bad rows are an error of their own and never a provider's BAD."""
    with pytest.raises(error):
        ppm(name, np.zeros((len(y), outputs)), y)
