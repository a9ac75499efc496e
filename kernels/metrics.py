"""From outputs to one integer per row, and from those to a score in parts per million, rounded down (P3.1, P9.2).

A metric reads logits [n, outputs] or, for rmse and mae, values [n, 1]. `predict` turns each row into the one int64 that
is all the score depends on, which makes it the evidence too (P9.5); `score` is exact integer arithmetic on those.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Array
from heldout.kernels.errors import BadData, BadGraph
from heldout.kernels.logarithms import UNIT_BITS, Integers, exp_ppm_down, losses

MILLION = 10**6
MOST = 0xFFFFFF00
"""The largest score: values above it are codes (P3.1)."""
_VALUE_BITS = 20
"""Regression values are in units of 2**-20."""
_VALUE_LIMIT = 1 << 42


@dataclass(frozen=True)
class Metric:
    """`read` turns labels into integers, `predict` outputs and labels into one integer per row, `score` both into ppm.

    `read` raises BadData for labels that are none, and BadGraph if the number of outputs does not suit the metric.
    """

    id: int
    lower_is_better: bool
    read: Callable[[NDArray[np.int64] | Array, int], Integers]
    predict: Callable[[Array, Integers], Integers]
    score: Callable[[Integers, Integers], int]


def score_ppm(metric: Metric, predictions: Integers, labels: Integers) -> int:
    """The score of all rows. Raises BadData if there are none."""
    if not len(labels):
        raise BadData("there are no rows to score")
    return min(metric.score(predictions, labels), MOST)


# ------------------------------------------------------------------------------------------------------ reading labels


def _classes(y: NDArray[np.int64] | Array, outputs: int) -> Integers:
    """Class numbers; one output means two classes, of which class 0 has the logit 0."""
    if y.dtype != np.int64 or y.ndim != 1:
        raise BadData("y must be one int64 class number per row")
    labels = y.astype(np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() < max(outputs, 2):
        raise BadData(f"y holds a class number that is not in 0 … {max(outputs, 2) - 1}")
    return labels


def _two_classes(y: NDArray[np.int64] | Array, outputs: int) -> Integers:
    if outputs > 2:
        raise BadGraph(f"auc is for two classes, the graph has {outputs} outputs")
    return _classes(y, outputs)


def _values(y: NDArray[np.int64] | Array, outputs: int) -> Integers:
    if outputs != 1:
        raise BadGraph(f"rmse and mae are for one output, the graph has {outputs}")
    if y.shape not in ((len(y),), (len(y), 1)):
        raise BadData("y must be one number per row")
    if y.size and not np.abs(y.astype(np.float64)).max() <= _VALUE_LIMIT >> _VALUE_BITS:
        raise BadData(f"y holds a value beyond {_VALUE_LIMIT >> _VALUE_BITS}: scale it")
    return _fixed(y)


# ---------------------------------------------------------------------------------------------------- one int per row


def _logits(outputs: Array) -> Array:
    return outputs if outputs.shape[1] > 1 else np.concatenate([np.zeros_like(outputs), outputs], axis=1)


def _most_likely(outputs: Array, _: Integers) -> Integers:
    """The class of the largest logit, the lowest such class if several are equal."""
    return np.asarray(_logits(outputs).argmax(axis=1), np.int64)


def _margin(outputs: Array, _: Integers) -> Integers:
    """Logit of class 1 over class 0, as an integer in the order of binary32 values (0 and -0 are equal)."""
    logits = _logits(outputs)
    bits: Integers = (logits[:, 1] - logits[:, 0]).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _value(outputs: Array, _: Integers) -> Integers:
    return _fixed(outputs)


def _loss(outputs: Array, labels: Integers) -> Integers:
    return losses(_logits(outputs), labels)


def _fixed(values: NDArray[np.int64] | Array) -> Integers:
    """Units of 2**-20, ties to even, [n]; values beyond 2**22 count as that."""
    steps = np.rint(values.astype(np.float64).reshape(len(values)) * 2.0**_VALUE_BITS)
    return np.clip(steps, -_VALUE_LIMIT, _VALUE_LIMIT).astype(np.int64)


# ------------------------------------------------------------------------------------------------------------- scores


def _accuracy(predictions: Integers, labels: Integers) -> int:
    return int(np.count_nonzero(predictions == labels)) * MILLION // len(labels)


def _balanced_accuracy(predictions: Integers, labels: Integers) -> int:
    """The mean, over classes that occur, of the share of their rows that are right."""
    rows = np.bincount(labels)
    right = np.bincount(labels[predictions == labels], minlength=len(rows))
    return _mean_ppm([Fraction(int(right[label]), int(rows[label])) for label in np.flatnonzero(rows)])


def _f1_macro(predictions: Integers, labels: Integers) -> int:
    """The mean, over classes that occur or are predicted, of 2tp / (2tp + fp + fn)."""
    size = int(max(labels.max(), predictions.max())) + 1
    counted = np.bincount(labels, minlength=size) + np.bincount(predictions, minlength=size)
    right = np.bincount(labels[predictions == labels], minlength=size)
    return _mean_ppm([Fraction(2 * int(right[label]), int(counted[label])) for label in np.flatnonzero(counted)])


def _mean_ppm(shares: Sequence[Fraction]) -> int:
    return math.floor(sum(shares, Fraction(0)) * MILLION / len(shares))


def _auc(predictions: Integers, labels: Integers) -> int:
    """The share of pairs of both classes in the right order, ties half; one half if a class does not occur."""
    places = np.unique(predictions, return_inverse=True)[1]
    size = int(places.max()) + 1
    positive, negative = (np.bincount(places[labels == label], minlength=size) for label in (1, 0))
    pairs = int(positive.sum()) * int(negative.sum())
    below = np.cumsum(negative) - negative
    twice = int((positive * (2 * below + negative)).sum())
    return twice * MILLION // (2 * pairs) if pairs else MILLION // 2


def _rmse(predictions: Integers, labels: Integers) -> int:
    squares = sum(int(error) ** 2 for error in predictions - labels)
    return math.isqrt(squares * MILLION**2 // (len(labels) << 2 * _VALUE_BITS))


def _mae(predictions: Integers, labels: Integers) -> int:
    return _total(np.abs(predictions - labels)) * MILLION // (len(labels) << _VALUE_BITS)


def _log_loss(predictions: Integers, labels: Integers) -> int:
    return _total(predictions) * MILLION // (len(labels) << UNIT_BITS)


def _perplexity(predictions: Integers, labels: Integers) -> int:
    """exp of the mean loss. Beyond 9 nats it is above any score, and cut off before it gets large."""
    return exp_ppm_down(min(Fraction(_total(predictions), len(labels) << UNIT_BITS), Fraction(9)))


def _total(values: Integers) -> int:
    """The sum as a Python integer, which cannot overflow."""
    return sum(map(int, values))


METRICS = {
    "accuracy": Metric(1, False, _classes, _most_likely, _accuracy),
    "balanced_accuracy": Metric(2, False, _classes, _most_likely, _balanced_accuracy),
    "f1_macro": Metric(3, False, _classes, _most_likely, _f1_macro),
    "auc": Metric(4, False, _two_classes, _margin, _auc),
    "rmse": Metric(5, True, _values, _value, _rmse),
    "mae": Metric(6, True, _values, _value, _mae),
    "log_loss": Metric(7, True, _classes, _loss, _log_loss),
    "perplexity": Metric(8, True, _classes, _loss, _perplexity),
}
