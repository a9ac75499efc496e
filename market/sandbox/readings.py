"""Live metrics: JSON objects a job prints, one a line. Little is taken of what a stranger wrote."""

import json
import math
from collections.abc import Iterable
from typing import Any

MOST_FIELDS = 16
MOST_READINGS = 100
LONGEST_NAME = 40

Reading = dict[str, float | int]


def parse_reading(line: str) -> Reading | None:
    """The finite numbers of a line such as `{"epoch": 3, "loss": 0.12}`; None if it is no such line."""
    if not line.startswith("{") or len(line) > 4096:
        return None
    try:
        raw: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    taken = {_name(key): value for key, value in list(raw.items())[:MOST_FIELDS] if _is_number(value)}
    return taken or None


def add_readings(kept: list[Reading], lines: Iterable[str]) -> list[Reading]:
    """The latest readings, at most MOST_READINGS."""
    return [*kept, *(reading for line in lines if (reading := parse_reading(line)))][-MOST_READINGS:]


def _name(key: str) -> str:
    return "".join(c for c in key if c.isprintable())[:LONGEST_NAME]


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e300
    )
