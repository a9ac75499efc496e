"""Keyed hashes in place of what names a person (GDPR art. 4(5)): the same value gives the same pseudonym, and without
the key nobody can tell whose it is, nor try all names. Pure.

    pseudonym = first 16 bytes of HMAC-SHA-256(key, column ‖ 0 ‖ value), in hex

The column is part of it, so that equal values of two columns cannot be matched. Pseudonymous data is still personal
data; what other columns give away together, no hash can hide.
"""

import csv
import hmac
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TextIO

from heldout.market.errors import BadInput

LONGEST_FIELD = 1 << 20
_BYTES = 16


def pseudonym(key: bytes, column: str, value: str) -> str:
    """32 hex digits; an empty value stays empty, since that nothing is known names nobody."""
    return hmac.digest(key, f"{column}\0{value}".encode(), "sha256")[:_BYTES].hex() if value else ""


def pseudonymised(table: TextIO, key: bytes, columns: Sequence[str]) -> Iterator[list[str]]:
    """The rows of a CSV table with a header, those columns replaced.

    Raises BadInput for columns that are not there, and for a row that is not as long as the header, by its line.
    """
    csv.field_size_limit(LONGEST_FIELD)
    rows = csv.reader(table, strict=True)
    try:
        header = next(rows, [])
        hidden = {_position(header, name): name for name in columns}
        yield header
        for row in rows:
            if len(row) != len(header):
                raise BadInput(
                    f"line {rows.line_num} has {len(row)} fields, the header {len(header)}",
                    hint="a quote may be missing; nothing was written",
                    code="bad_table",
                )
            yield [pseudonym(key, hidden[i], value) if i in hidden else value for i, value in enumerate(row)]
    except csv.Error as problem:
        raise BadInput(f"line {rows.line_num}: {problem}", hint="the file must be CSV", code="bad_table") from None


def _position(header: Sequence[str], name: str) -> int:
    places = [i for i, column in enumerate(header) if column == name]
    if len(places) == 1:
        return places[0]
    close = get_close_matches(name, header, 1)
    hint = f"did you mean {close[0]!r}?" if close and not places else f"there are: {', '.join(header[:20])}"
    what = "is there twice" if places else "is no column of this table"
    raise BadInput(f"{name!r} {what}", hint=hint, code="no_such_column")
