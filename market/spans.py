"""Spans of time as people write them: `90 s`, `10 min`, `2 h`, `1 d`, or plain seconds."""

import re

from heldout.market.errors import BadInput

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_SHOWN = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def parse_span(text: str | int) -> int:
    """Whole seconds. Raises BadInput for anything that is not a positive span."""
    match = _SPAN.fullmatch(str(text).strip().lower())
    seconds = float(match[1]) * _UNITS.get(match[2], 0) if match else 0
    if seconds < 1 or seconds != int(seconds):
        raise BadInput(f"{text!r} is not a span of time", hint="write seconds, or for example 90 s, 10 min, 2 h, 1 d")
    return int(seconds)


def format_span(seconds: int) -> str:
    """The two largest units that are not zero: `1 h 30 min`, `45 s`, `0 s`."""
    parts, left = [], max(0, seconds)
    for unit, size in _SHOWN:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
