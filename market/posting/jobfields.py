"""The kinds of values a job file holds: reading one strictly, and saying the same in JSON Schema."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any, Final

from heldout.market.errors import BadInput
from heldout.market.messages import HIGHEST_SCORE
from heldout.market.money import MILLION, BasisPoints, Ppm, parse_tokens
from heldout.market.signatures import checksummed
from heldout.market.spans import parse_span
from heldout.market.terms import Parent

REQUIRED: Final = object()
"""The default of a key that has none."""
MOST_PARENTS: Final = 4
MOST_ROYALTIES: Final = 2_000
"""Basis points, of all parents together (P7.3)."""
_ARTIFACT = re.compile(r"0x[0-9a-f]{64}")
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}")
_SIZE = re.compile(r"(\d+)\s*([kmgt]?i?b?)", re.IGNORECASE)
_SIZE_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


class Kind(Enum):
    TEXT = auto()
    WORDS = auto()
    IMAGE = auto()
    COUNT = auto()
    CHOICE = auto()
    SCORE = auto()
    SHARE = auto()
    TOKENS = auto()
    BYTES = auto()
    SPAN = auto()
    PARENTS = auto()


@dataclass(frozen=True)
class Field:
    """One key: its kind, what it means, its default, and bounds (inclusive)."""

    kind: Kind
    meaning: str
    default: Any = REQUIRED
    least: int = 0
    greatest: int = 2**31
    choices: tuple[Any, ...] = ()


def read_value(field: Field, value: Any) -> Any:
    """A TOML value as this project's: ppm, wei, bytes, seconds. Raises BadInput without the key's name."""
    match field.kind:
        case Kind.TEXT:
            return _text(value)
        case Kind.WORDS:
            return tuple(_text(word) for word in _list(value))
        case Kind.IMAGE:
            return _image(value)
        case Kind.COUNT:
            return _count(field, value)
        case Kind.CHOICE:
            return _choice(field, value)
        case Kind.SCORE:
            return _ppm(value, HIGHEST_SCORE)
        case Kind.SHARE:
            return _ppm(value, MILLION)
        case Kind.TOKENS:
            return parse_tokens(str(_scalar(value)))
        case Kind.BYTES:
            return _bytes(value)
        case Kind.SPAN:
            return parse_span(str(_scalar(value)))
        case Kind.PARENTS:
            return _parents(value)


def schema_of(field: Field) -> dict[str, Any]:
    """The JSON Schema of one key. What a schema cannot say (units, sums) is left to `read_value`."""
    scalar: dict[str, Any] = {"type": ["string", "number"]}
    shapes: dict[Kind, dict[str, Any]] = {
        Kind.TEXT: {"type": "string", "minLength": 1},
        Kind.WORDS: {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        Kind.IMAGE: {"anyOf": [{"$ref": "#/$defs/imageId"}, {"$ref": "#/$defs/imageByPlatform"}]},
        Kind.COUNT: {"type": "integer", "minimum": field.least, "maximum": field.greatest},
        Kind.CHOICE: {"enum": list(field.choices)},
        Kind.SCORE: {"type": "number", "minimum": 0, "maximum": HIGHEST_SCORE / MILLION},
        Kind.SHARE: {"type": "number", "minimum": 0, "maximum": 1},
        Kind.TOKENS: scalar,
        Kind.BYTES: scalar,
        Kind.SPAN: scalar,
        Kind.PARENTS: {"type": "array", "items": {"$ref": "#/$defs/parent"}, "maxItems": MOST_PARENTS},
    }
    shape = {"enum": list(field.choices)} if field.choices else shapes[field.kind]
    return {"description": field.meaning, **shape}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise BadInput(f"{value!r} is not a line of text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise BadInput(f"{value!r} is not a list", hint='write it as ["python", "train.py"]')
    return value


def _scalar(value: Any) -> str | int | Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise BadInput(f"{value!r} is neither text nor a number")
    return value


def _count(field: Field, value: Any) -> int:
    if type(value) is not int or not field.least <= value <= field.greatest:
        raise BadInput(f"{value!r} is not a whole number from {field.least} to {field.greatest}")
    if field.choices:
        _choice(field, value)
    return value


def _choice(field: Field, value: Any) -> Any:
    if value not in field.choices:
        raise BadInput(f"{value!r} is not one of {', '.join(map(str, field.choices))}")
    return value


def _ppm(value: Any, greatest: int) -> Ppm:
    """Exact: the file's decimal digits, not a binary double's."""
    scaled = Decimal(value) * MILLION if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
    if scaled is None or scaled != scaled.to_integral_value() or not 0 <= scaled <= greatest:
        raise BadInput(f"{value} is not a number from 0 to {greatest / MILLION:g} with at most six decimals")
    return Ppm(int(scaled))


def _bytes(value: Any) -> int:
    match = _SIZE.fullmatch(str(_scalar(value)).strip())
    unit = match[2].lower().removesuffix("b") if match else "?"
    if not match or unit not in _SIZE_UNITS or int(match[1]) == 0:
        raise BadInput(f"{value!r} is not a size", hint="write bytes, or for example 512 MB, 1 GiB")
    return int(match[1]) * _SIZE_UNITS[unit]


def _parents(value: Any) -> tuple[Parent, ...]:
    """P7.3: at most four, at most 20 % in sum; the contract checks the same."""
    parents = tuple(_parent(each) for each in _list(value))
    total = sum(parent.bps for parent in parents)
    if len(parents) > MOST_PARENTS or total > MOST_ROYALTIES:
        raise BadInput(f"{len(parents)} royalties, {total / 100:g} % in sum", hint="at most four, and 20 % in sum")
    return parents


def _parent(value: Any) -> Parent:
    hint = 'write it as { artifact = "0x…", payee = "0x…", percent = 2.5 }'
    if not isinstance(value, dict) or set(value) != {"artifact", "payee", "percent"}:
        raise BadInput(f"{value!r} is not a royalty", hint=hint)
    if not _ARTIFACT.fullmatch(str(value["artifact"])):
        raise BadInput(f"{value['artifact']!r} is not an artifact's id", hint="`heldout chain list` shows them whole")
    bps = _ppm(value["percent"], MILLION * MOST_ROYALTIES // 100) / Decimal(MILLION // 100)
    if bps != int(bps):
        raise BadInput(f"{value['percent']} % is finer than a basis point", hint="write at most two decimals")
    return Parent(bytes.fromhex(value["artifact"][2:]), checksummed(str(value["payee"])), BasisPoints(int(bps)))


def _image(value: Any) -> dict[str, str]:
    images = {"linux/amd64": value} if isinstance(value, str) else value
    if not isinstance(images, dict) or not images or not all(_IMAGE.fullmatch(str(i)) for i in images.values()):
        hint = "docker images --digests --no-trunc shows it; tags move, so they are refused"
        raise BadInput(f"{value!r} is not an image id", hint=hint)
    return dict(images)
