"""The errors a user can meet, from the one tree of them and from the contract: one list for API, page and search."""

import re
from typing import Any, Final

from heldout.market import errors
from heldout.market.chain.hints import HINTS
from heldout.market.errors import HeldoutError

_LINE = re.compile(r"[├│└─ ]*(?P<name>[A-Z]\w+)\s+(?:exit \d+\s+)?(?P<says>.*?)(?:\s{2,}\((?:retryable|final)\))?")
_SAYS: Final = {
    match["name"]: match["says"].strip()
    for line in (errors.__doc__ or "").splitlines()
    if (match := _LINE.fullmatch(line.rstrip()))
}
"""What the drawing of the tree says beside each name."""


def error_kinds() -> list[dict[str, Any]]:
    """Every kind in the tree, in the order of exit codes."""
    found: list[type[HeldoutError]] = [HeldoutError, *_below(HeldoutError)]
    rows = [
        {
            "code": kind.code,
            "kind": kind.__name__,
            "says": _SAYS.get(kind.__name__) or (kind.__doc__ or "").strip().partition("\n")[0],
            "exit_code": kind.exit_code,
            "retryable": kind.retryable,
        }
        for kind in found
        if kind.__module__ == errors.__name__
    ]
    return sorted(rows, key=lambda row: row["exit_code"])


def reverts() -> list[dict[str, str]]:
    """The contract's own errors: they come under the code `reverted`, with these names."""
    return [{"name": name, "hint": hint} for name, hint in sorted(HINTS.items())]


def _below(kind: type[HeldoutError]) -> list[type[HeldoutError]]:
    return [each for child in kind.__subclasses__() for each in (child, *_below(child))]
