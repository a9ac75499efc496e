"""Cursors of lists: short texts that a page gives out for the next one. Whoever brings one may have made it up."""

import re
from typing import Final

from heldout.market.errors import BadInput

_NUMBER: Final = "([0-9]{1,18})"
"""As much as a database's integer surely holds."""
_WORD: Final = "(0x[0-9a-f]{64})"

PLACE: Final = re.compile(f"{_NUMBER}:{_NUMBER}")
"""`block:index` of an event."""
RANKED: Final = re.compile(f"{_NUMBER}:(0x[0-9a-fA-F]{{40}})")
"""A count, and the address after which to go on."""
MADE: Final = re.compile(f"{_NUMBER}:{_WORD}:{_NUMBER}")
"""Block, job and lane of an artifact."""
LETTER: Final = re.compile(f"letter:{_NUMBER}?")
READING: Final = re.compile(f"reading:(?:{_WORD}:{_NUMBER}:{_NUMBER})?")
MANIFEST: Final = re.compile(f"manifest:{_WORD}?")
"""Of an export, one kind after another: each begins without a place."""


def parts_of(cursor: str, form: re.Pattern[str]) -> tuple[str, ...]:
    """The parts of a cursor, those that it lacks as empty text. Raises BadInput unless it has the form."""
    match = form.fullmatch(cursor)
    if match is None:
        hint = "use the `next` of a page, or the id of an event, as it was given"
        raise BadInput(f"{cursor!r} is no cursor", hint=hint, code="bad_cursor")
    return match.groups("")
