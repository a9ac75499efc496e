"""JSON that a stranger wrote, and the one text that we write of a value."""

import json
import re
import sys
from typing import Any

DEEPEST = 32
"""Levels that anything of this protocol needs; the standard reader's recursion gives out at some hundreds."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_OTHER = bytes(set(range(256)) - set(b'[]{}"\\/bfnrtu'))
"""What is neither a bracket, nor begins or ends a string, nor stands behind a backslash: most of any text."""


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, no NaN, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read_json(text: bytes) -> Any:
    """The value. Raises ValueError if this is no JSON, or nested deeper than anything of ours."""
    if nesting(text, DEEPEST) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return json.loads(text)


def nesting(text: bytes, most: int = sys.maxsize) -> int:
    """How deep brackets nest outside strings; no further than one beyond `most`. Counted first: the JSON reader's own
    recursion exhausts the stack, and ends the process, where a library has lifted Python's limit, as py_ecc does."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", text.translate(None, _OTHER))):
        depth += 1 if bracket[0] in b"{[" else -1
        deepest = max(deepest, depth)
        if deepest > most:
            break
    return deepest
