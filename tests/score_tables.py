"""Writes the tables of `score-v1`, once and for all: `python tests/score_tables.py kernels/functions`.

Values are computed to 80 digits with `decimal` and rounded once to binary32, to nearest. A minute's work.
"""

import sys
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np

ENTRIES = 1 << 16
HALF = ENTRIES // 2
_DIGITS = 80
_PI = Decimal("3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253421170680")


def sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def tanh(x: Decimal) -> Decimal:
    return 2 * sigmoid(2 * x) - 1


def erf(x: Decimal) -> Decimal:
    """2 / √π · Σ (-1)^n x^(2n+1) / (n! (2n+1)): https://dlmf.nist.gov/7.6"""
    term, total, n = x, x, 0
    while abs(term) > Decimal(10) ** (5 - _DIGITS):
        n += 1
        term *= -x * x / n
        total += term / (2 * n + 1)
    return 2 * total / _PI.sqrt()


def gelu(x: Decimal) -> Decimal:
    """The standard normal distribution up to x: GELU is x times it (https://arxiv.org/abs/1606.08415)."""
    return (1 + erf(x / Decimal(2).sqrt())) / 2


def gelu_tanh(x: Decimal) -> Decimal:
    """Its approximation of the same paper."""
    return (1 + tanh((2 / _PI).sqrt() * (x + Decimal("0.044715") * x**3))) / 2


def exp(x: Decimal) -> Decimal:
    """exp(-x) in whole units of 2**-16."""
    return ((-x).exp() * 65536).to_integral_value()


TABLES: dict[str, tuple[Callable[[Decimal], Decimal], int, int]] = {
    "sigmoid": (sigmoid, 2048, HALF),
    "tanh": (tanh, 4096, HALF),
    "erf": (erf, 8192, HALF),
    "gelu": (gelu, 4096, HALF),
    "gelu_tanh": (gelu_tanh, 4096, HALF),
    "exp": (exp, 2048, 0),
}


def entry(name: str, place: int) -> np.float32:
    """One entry, from scratch."""
    function, scale, offset = TABLES[name]
    with localcontext() as context:
        context.prec = _DIGITS
        return nearest(Fraction(function(Decimal(place - offset) / scale)))


def nearest(value: Fraction) -> np.float32:
    """To binary32, to nearest, ties to even. Tables hold no value below 2**-126."""
    if not value:
        return np.float32(0)
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    exponent -= abs(value) < Fraction(2) ** exponent
    step = Fraction(2) ** (exponent - 23)
    return np.float32(float(round(value / step) * step))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, scale, offset) in TABLES.items():
        data = np.array([entry(name, place) for place in range(ENTRIES)], "<f4").tobytes()
        (folder / f"{name}.f32").write_bytes(data)
        print(f'    "{name}": ({scale}, {offset}, "{sha256(data).hexdigest()}"),', flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
