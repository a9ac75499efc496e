"""How the pages write amounts, times, scores and hashes. Pure; every function is a filter of the templates."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from markupsafe import Markup, escape

from heldout.market.messages import CODES, describe_score
from heldout.market.money import format_tokens
from heldout.market.narration import clock, purpose_of
from heldout.market.posting.jobfields import Field, Kind
from heldout.market.spans import format_span
from heldout.market.terms import METRICS
from heldout.market.texts import later, tr

_METRIC_NAMES: Final = {number: name for name, number in METRICS.items()}
_NUMBERS: Final = (
    *(later("Two"), later("Three"), later("Four"), later("Five"), later("Six")),
    *(later("Seven"), later("Eight"), later("Nine"), later("Ten")),
)
CODE_MEANINGS: Final = {
    "BAD": later("the weights were opened and are no weights of this model"),
    "MISSING": later("the weights were not delivered"),
    "NO_DATA": later("the requester did not deliver the held-out keys"),
}


def tokens(wei: int | str) -> str:
    """`1,234.50`: exact, at least two digits after the point."""
    return format_tokens(int(wei), places=2)


def score(value: int | None) -> str:
    """`0.966667`, the name of a code, or a dash where there is none yet."""
    return "–" if value is None else describe_score(value)


def gap(value: float | None) -> str:
    """A signed difference of two scores."""
    return "–" if value is None else f"{value / 1_000_000:+.6f}".replace("-", "−")


def is_code(value: int | None) -> bool:
    return value in CODES


def iso(timestamp: int) -> str:
    """For `<time datetime>`, feeds and exports."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def relative(timestamp: int, now: int) -> str:
    """`in 4 min`, `12 s ago`: in block time."""
    if timestamp >= now:
        return tr("in %(span)s", span=format_span(timestamp - now))
    return tr("%(span)s ago", span=format_span(now - timestamp))


def plain(name: str) -> str:
    """`held_out_keys_withheld` as words, in the language spoken."""
    return tr(name).replace("_", " ")


def labelled(key: str) -> str:
    """A key of the job file, as the label of its field."""
    words = plain(key)
    return words[:1].upper() + words[1:]


def metric(number: int) -> str:
    """Its name, of which `plain` makes words."""
    return _METRIC_NAMES.get(number) or tr("metric %(number)s", number=number)


def size(count: int) -> str:
    """Bytes in the largest unit that leaves a whole part."""
    amount, units = float(count), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    while amount >= 1024 and (larger := next(units, None)):
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


@lru_cache(4096)
def bars(value: str) -> str:
    """A hash's own little skyline, as the path of an SVG: two hashes that differ look different at a glance."""
    digits = re.sub("[^0-9a-f]", "", value.rpartition(":")[2].removeprefix("0x").lower()).ljust(20, "0")
    heights = [int(digits[place], 16) for place in (0, 1, 2, 3, 8, 9, -4, -3, -2, -1)]
    return "".join(f"M{2 * i + 1} 12v-{2 + height * 10 / 15:.1f}" for i, height in enumerate(heights))


def percent(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.1f} %"


def first_lane(word: str | None) -> int | None:
    """The first lane of a vote or result word (P3.1)."""
    return None if word is None else int(word, 16) & 0xFFFFFFFF


def rounded(wei: int | str) -> str:
    """Tokens to two places, for figures that are made of many."""
    return f"{int(wei) / 10**18:,.2f}"


def default_text(field: Field) -> str:
    """A job file's default, as a person would write it."""
    match field.kind:
        case Kind.SPAN:
            return format_span(field.default)
        case Kind.BYTES:
            return size(field.default)
        case Kind.SHARE:
            return f"{field.default / 1_000_000:g}"
    return str(field.default)


def coded(text: str) -> Markup:
    """Words of the catalogue, in which `backticks` are code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def count_word(number: int) -> str:
    """Small numbers in words, where a headline begins with one; at least two."""
    return tr(_NUMBERS[number - 2]) if number - 2 < len(_NUMBERS) else str(number)


FILTERS: Final = {
    function.__name__: function
    for function in (
        tokens,
        rounded,
        score,
        gap,
        is_code,
        iso,
        relative,
        plain,
        labelled,
        metric,
        size,
        hexed,
        bars,
        percent,
        coded,
        count_word,
        first_lane,
        default_text,
    )
} | {"clock": clock, "span": format_span, "purpose": purpose_of}
