"""Cross-entropy in whole numbers: exp by three small tables, ln by repeated squaring (docs/score-v1.md, "Losses").

Losses are in units of 2**-20 nat. Nothing here calls a maths library: the tables come from `decimal`, whose exp is
correctly rounded by definition (https://speleotrove.com/decimal), and the rest is integer arithmetic.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.devices.interface import Array

Integers = NDArray[np.int64]

UNIT_BITS = 20
"""A nat is 2**20 units."""
_ONE = 30
"""exp is in units of 2**-30."""
_FAR = 32 << UNIT_BITS
"""exp(-32 nats) is below half a unit."""
_FARTHEST = 1 << 40
_LN2 = 46516320
"""ln 2 in units of 2**-26, rounded."""
_EXACT = Context(prec=60)


def _table(entries: int, unit: int) -> Integers:
    """exp(-i * unit * 2**-20) for i below `entries`, in units of 2**-30, ties to even."""
    values = (_EXACT.exp(Decimal(-i * unit) / (1 << UNIT_BITS)) * (1 << _ONE) for i in range(entries))
    return np.array([int(value.to_integral_value(ROUND_HALF_EVEN)) for value in values], np.int64)


_HIGH, _MIDDLE, _LOW = _table(513, 1 << 16), _table(256, 1 << 8), _table(256, 1)


def losses(logits: Array, labels: Integers) -> Integers:
    """-ln softmax(logits)[label] of each row, [n], for logits [n, classes], in units of 2**-20 nat."""
    chosen: Integers = all_losses(logits)[np.arange(len(labels)), labels]
    return chosen


def all_losses(logits: Array) -> Integers:
    """The same for every label, [n, classes]."""
    peak = logits.max(axis=1, keepdims=True).astype(np.float64)
    below = np.rint(np.minimum((peak - logits) * 2.0**UNIT_BITS, _FARTHEST)).astype(np.int64)
    total: Integers = _exp(np.minimum(below, _FAR)).sum(axis=1, keepdims=True)
    return np.asarray(_ln(total) + below, np.int64)


def log_softmax(x: Array) -> Array:
    """Over the last axis, as -loss / 2**20, rounded once."""
    vectors = all_losses(x.reshape(-1, x.shape[-1]))
    return np.ldexp(-vectors.astype(np.float64), -UNIT_BITS).astype(np.float32).reshape(x.shape)


def exp_ppm_down(mean: Fraction) -> int:
    """exp(mean) in parts per million, rounded down, from a correctly rounded exp of 60 digits."""
    exponent = _EXACT.divide(Decimal(mean.numerator), Decimal(mean.denominator))
    return int(_EXACT.multiply(_EXACT.exp(exponent), Decimal(10**6)))


def _exp(below: Integers) -> Integers:
    """exp(-below) for 0 <= below <= 32 nats."""
    product: Integers = _scaled(_HIGH[below >> 16] * _MIDDLE[below >> 8 & 255])
    return _scaled(product * _LOW[below & 255])


def _scaled(product: Integers) -> Integers:
    return product + (1 << _ONE - 1) >> _ONE


def _ln(total: Integers) -> Integers:
    """ln of total / 2**30 for total >= 2**30: one bit of the binary logarithm for each squaring of the mantissa."""
    # frexp gives the bit length, exactly, since what is above the last 20 bits of a total stays below 2**53. The
    # mantissa then lies in [2**31, 2**32).
    whole = np.frexp((total >> 20).astype(np.float64))[1].astype(np.int64) + 19
    mantissa = (total << np.maximum(31 - whole, 0) >> np.maximum(whole - 31, 0)).astype(np.uint64)
    logarithm = whole - _ONE
    for _ in range(_ONE):
        mantissa = mantissa * mantissa >> np.uint64(31)
        bit = mantissa >> np.uint64(32)
        mantissa >>= bit
        logarithm = logarithm << 1 | bit.astype(np.int64)
    return logarithm * _LN2 + (1 << 35) >> 36
