"""The metrics of `score-v1` a second time, as docs/score-v1.md states them: Python's integers and fractions alone."""

import struct
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from math import floor, isqrt

MILLION = 10**6
Row = Sequence[Fraction]


def score(metric: str, outputs: Sequence[Row], labels: Sequence[int]) -> int:
    """In parts per million, at most what is no code."""
    return min(_score(metric, outputs, labels), 0xFFFFFF00)


def _score(metric: str, outputs: Sequence[Row], labels: Sequence[int]) -> int:
    wide = [row if len(row) > 1 else [Fraction(0), *row] for row in outputs]
    if metric in ("accuracy", "balanced_accuracy", "f1_macro"):
        return _of_classes(metric, [list(row).index(max(row)) for row in wide], labels)
    if metric == "auc":
        return _auc([_binary32(row[1] - row[0]) for row in wide], labels)
    if metric in ("rmse", "mae"):
        return _of_values(
            metric, [Fraction(round(row[0] * 2**20), 2**20) - y for row, y in zip(outputs, labels, strict=True)]
        )
    total = sum(_loss(row, label) for row, label in zip(wide, labels, strict=True))
    mean = Fraction(total, len(labels) << 20)
    if metric == "log_loss":
        return floor(mean * MILLION)
    mean = min(mean, Fraction(9))
    exponent = _EXACT.divide(Decimal(mean.numerator), Decimal(mean.denominator))
    return int(_EXACT.multiply(_EXACT.exp(exponent), Decimal(MILLION)))


_EXACT = Context(prec=60)


def _of_classes(metric: str, found: Sequence[int], labels: Sequence[int]) -> int:
    pairs = list(zip(found, labels, strict=True))
    if metric == "accuracy":
        return floor(Fraction(sum(a == b for a, b in pairs), len(pairs)) * MILLION)
    shares = []
    for label in sorted(set(labels) | (set(found) if metric == "f1_macro" else set())):
        right = sum(a == b == label for a, b in pairs)
        if metric == "balanced_accuracy":
            shares.append(Fraction(right, labels.count(label)))
        else:
            shares.append(Fraction(2 * right, labels.count(label) + list(found).count(label)))
    return floor(sum(shares, Fraction(0)) / len(shares) * MILLION)


def _binary32(value: Fraction) -> Fraction:
    """Rounded to the nearest; of a sum or difference of two binary32 numbers, by way of binary64 no differently."""
    return Fraction(struct.unpack("<f", struct.pack("<f", float(value)))[0])


def _auc(margins: Sequence[Fraction], labels: Sequence[int]) -> int:
    ones = [m for m, label in zip(margins, labels, strict=True) if label == 1]
    zeros = [m for m, label in zip(margins, labels, strict=True) if label == 0]
    if not ones or not zeros:
        return MILLION // 2
    twice = sum(2 * (one > zero) + (one == zero) for one in ones for zero in zeros)
    return floor(Fraction(twice, 2 * len(ones) * len(zeros)) * MILLION)


def _of_values(metric: str, errors: Sequence[Fraction]) -> int:
    if metric == "mae":
        return floor(sum(map(abs, errors), Fraction(0)) / len(errors) * MILLION)
    return isqrt(floor(sum((error**2 for error in errors), Fraction(0)) / len(errors) * MILLION**2))


def _exp(units: int) -> int:
    """exp(-units * 2**-20) in units of 2**-30, to nearest even."""
    value = _EXACT.exp(Decimal(-units) / (1 << 20)) * (1 << 30)
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def _odds(below: int) -> int:
    """A product of three entries, for the bits above 16, from 8 to 15, and below 8."""
    high, middle, low = _exp(below >> 16 << 16), _exp((below >> 8 & 255) << 8), _exp(below & 255)
    return ((high * middle + (1 << 29) >> 30) * low + (1 << 29)) >> 30


def _loss(row: Row, label: int) -> int:
    below = [min(round((max(row) - value) * 2**20), 1 << 40) for value in row]
    total = sum(_odds(min(each, 1 << 25)) for each in below)
    whole = total.bit_length() - 1
    mantissa = total << 31 - whole if whole <= 31 else total >> whole - 31
    logarithm = whole - 30
    for _ in range(30):
        mantissa = mantissa * mantissa >> 31
        bit = mantissa >> 32
        mantissa >>= bit
        logarithm = logarithm << 1 | bit
    return (logarithm * 46516320 + (1 << 35) >> 36) + below[label]
