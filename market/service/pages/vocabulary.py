"""Words that pages take out of tables of the code. tools/texts.py writes them into the catalogue of texts too."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from heldout.market.lifecycle import Outcome, Purpose, State
from heldout.market.posting.jobfile import SECTIONS
from heldout.market.service.describing import PROBLEMS, SIGN_IN
from heldout.market.service.errorlist import error_kinds, reverts
from heldout.market.terms import METRICS

_REFUSALS: Final = (*PROBLEMS, *SIGN_IN, HTTPStatus.METHOD_NOT_ALLOWED)


def vocabulary() -> Iterator[str]:
    """Each as its table has it, `held_out_keys_withheld` and all; some more than once."""
    yield from (each.name.lower() for kind in (State, Outcome, Purpose) for each in kind if each.name != "NONE")
    yield from METRICS
    for fields in SECTIONS.values():
        yield from (word for key, field in fields.items() for word in (key, field.meaning))
    yield from (row["says"] for row in error_kinds())
    yield from (row["hint"] for row in reverts() if row["hint"])
    yield from (HTTPStatus(int(status)).phrase for status in _REFUSALS)
