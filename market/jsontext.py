"""JSON that a stranger wrote, and the one text that we write of a value."""

import json
import re
from itertools import accumulate
from typing import Any

DEEPEST = 32
"""Levels that anything of this protocol needs; the standard reader's recursion gives out at some hundreds."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, no NaN, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read_json(text: bytes) -> Any:
    """The value. Raises ValueError if this is no JSON, or nested deeper than anything of ours."""
    if nesting(text) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return json.loads(text)


def nesting(text: bytes) -> int:
    """How deep brackets nest outside strings. Counted first: the JSON reader's own recursion can exhaust the stack."""
    brackets = _BRACKET.findall(_STRING.sub(b"", text))
    return max(accumulate((1 if bracket in b"{[" else -1 for bracket in brackets), initial=0))
