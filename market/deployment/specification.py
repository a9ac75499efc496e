"""What a market is to be deployed with: the numbers of P1.5, in a TOML file, read strictly."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from heldout.market.chain.views import Limits, Window
from heldout.market.errors import BadInput
from heldout.market.money import Wei, parse_tokens
from heldout.market.signatures import checksummed
from heldout.market.spans import parse_span
from heldout.market.terms import Address

NO_BEACON: Final = Address("0x" + "00" * 20)
"""Seeds are block hashes (P5.3)."""


@dataclass(frozen=True)
class Specification:
    """A market to be. Everything but the last three is fixed for ever once it is deployed."""

    token: Address
    seat_stake: Wei
    minimum_fee: Wei
    limits: Limits
    beacon: Address = NO_BEACON
    name: str = "market"
    confirmations: int = 2
    stores: tuple[str, ...] = ()

    def arguments(self) -> tuple[Any, ...]:
        """Of Resolution's constructor."""
        return (self.token, self.seat_stake, self.minimum_fee, self.beacon, self.limits.as_tuple())


def read_specification(text: str) -> Specification:
    """Raises BadInput naming the key that is missing, unknown or unreadable."""
    try:
        raw = _Table(tomllib.loads(text), "")
    except (tomllib.TOMLDecodeError, RecursionError) as problem:  # a stranger may nest as deep as he likes
        raise BadInput(f"the specification is not TOML: {problem}", hint=_HINT, code="bad_specification") from None
    greatest, windows = raw.table("greatest"), raw.table("windows")
    specification = Specification(
        name=raw.text("name"),
        token=raw.address("token"),
        seat_stake=raw.tokens("seat_stake"),
        minimum_fee=raw.tokens("minimum_fee"),
        beacon=raw.address("beacon", NO_BEACON),
        confirmations=raw.count("confirmations"),
        stores=raw.texts("stores"),
        limits=Limits(
            bid=windows.window("bid"),
            work=windows.window("work"),
            release=windows.window("release"),
            commit=windows.window("commit"),
            reveal=windows.window("reveal"),
            challenge=windows.window("challenge"),
            shard_bytes=greatest.count("shard_bytes"),
            weights_bytes=greatest.count("weights_bytes"),
            operations_per_second=greatest.count("operations_per_second"),
        ),
    )
    for table in (windows, greatest, raw):
        table.refuse_rest()
    return specification


_HINT = "docs/deploying.md has one to start from"


class _Table:
    """A TOML table whose keys are taken out one by one, so that what is left over is what nobody knows."""

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        self._left = dict(values)
        self._name = name

    def table(self, key: str) -> "_Table":
        return _Table(self._take(key, dict), f"{key}.")

    def text(self, key: str) -> str:
        return str(self._take(key, str))

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._take(key, list)
        if not all(isinstance(each, str) for each in found):
            raise self._bad(key, "is a list of texts")
        return tuple(found)

    def count(self, key: str) -> int:
        found: int = self._take(key, int)
        if isinstance(found, bool) or found < 1:
            raise self._bad(key, "is a whole number above zero")
        return found

    def tokens(self, key: str) -> Wei:
        try:
            return parse_tokens(self._take(key, str))
        except BadInput as problem:
            raise self._bad(key, f"cannot be: {problem.message}") from None

    def address(self, key: str, default: Address | None = None) -> Address:
        if default is not None and key not in self._left:
            return default
        try:
            return checksummed(self._take(key, str))
        except (BadInput, ValueError):
            raise self._bad(key, "is an address, 0x and 40 hex digits") from None

    def window(self, key: str) -> Window:
        spans = self._take(key, list)
        try:
            least, greatest = map(parse_span, spans)
        except (BadInput, ValueError):
            raise self._bad(key, 'is a pair of spans, ["10 min", "7 d"]') from None
        if least > greatest:
            raise self._bad(key, "begins with the lesser span")
        return Window(least, greatest)

    def refuse_rest(self) -> None:
        if self._left:
            raise self._bad(min(self._left), "is not known")

    def _take(self, key: str, kind: type) -> Any:
        if key not in self._left:
            raise self._bad(key, "is missing")
        value = self._left.pop(key)
        if not isinstance(value, kind):
            raise self._bad(key, f"is of kind {kind.__name__}")
        return value

    def _bad(self, key: str, what: str) -> BadInput:
        return BadInput(f"specification: {self._name}{key} {what}", hint=_HINT, code="bad_specification")
