"""Sums of amounts by the database, exact to the unit: a uint96 is decimal text there (see database), and a sum of such
text is a float in SQLite. Ten digits at a time are a sum of integers: exact for 900 million rows."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, cast, func

_PART: Final = 10
_PARTS: Final = 3
"""30 digits: a uint96 has 29."""


def exact_sum(amount: ColumnElement[str]) -> list[ColumnElement[int]]:
    """Columns of a query: the sums of the digits of `amount`, ten by ten, the highest first."""
    padded = func.substr(("0" * _PARTS * _PART) + amount, func.length(amount) + 1)
    parts = (func.substr(padded, 1 + _PART * number, _PART) for number in range(_PARTS))
    return [func.coalesce(func.sum(cast(part, BigInteger)), 0) for part in parts]


def whole_sum(sums: Sequence[Any]) -> int:
    """What the columns of `exact_sum` say together."""
    total = 0
    for part in sums:
        total = total * 10**_PART + int(part)
    return total
