"""Reading a catalogue, and refusing a text that could not stand where the English one stands."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from string import Formatter

from heldout.market.errors import BadInput

Catalogue = Mapping[str, Mapping[str, str]]
"""Texts by section and key."""
_TAG = re.compile(r"<[a-zA-Z/!?%][^>]*>?")
"""What a browser may take for the beginning of one, be it with a value."""
_PERCENT = re.compile(r"%\(\w+\)s|%%|%")


@cache
def read(folder: Path, language: str, english: str) -> Catalogue:
    """`language`.toml of a folder over `english`.toml: a key that only the first has is ignored, one that only the
    second has is English.

    Raises BadInput for a file that is no catalogue, and for a text with other places or other tags than the English.
    """
    base = _parsed(folder, english)
    own = _parsed(folder, language) if language != english else {}
    if unknown := sorted(own.keys() - base.keys()):
        raise _wrong(language, f"there is no section {unknown[0]!r}", f"the sections are {', '.join(base)}")
    return {section: {**texts, **_checked(language, section, texts, own)} for section, texts in base.items()}


def _parsed(folder: Path, language: str) -> Catalogue:
    try:
        found = tomllib.loads(folder.joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    except ValueError as error:  # no TOML, or no UTF-8
        raise _wrong(language, str(error), "write it as en.toml is written") from None
    for section, texts in found.items():
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise _wrong(language, f"[{section}] is no table of texts", "write it as en.toml is written")
    return found


def _checked(language: str, section: str, english: Mapping[str, str], own: Catalogue) -> Mapping[str, str]:
    """The texts of a section that English has too."""
    known = {key: text for key, text in own.get(section, {}).items() if key in english}
    for key, text in known.items():
        try:
            wanted, found = _shape(section, english[key]), _shape(section, text)
        except ValueError as error:
            raise _wrong(language, f"[{section}] {key!r}: {error}", "double a brace that is no place") from None
        if found != wanted:
            said = f"[{section}] {key!r} has {_listed(found)}, and in English {_listed(wanted)}"
            raise _wrong(language, said, "keep places and tags as they are, in any order")
    return known


def _shape(section: str, text: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """The places of a text, and its tags, which are markup in [pages]."""
    if section == "scripts":
        return frozenset(re.findall(r"{\d+}", text)), ()
    if section != "pages":
        return frozenset(_named(text)), ()
    places = frozenset(_PERCENT.findall(text)) - {"%%"}
    if places == {"%"}:  # where there are no places, a per cent sign is just that
        places = frozenset()
    return places, tuple(sorted(_TAG.findall(text)))


def _named(text: str) -> Iterator[str]:
    """As str.format takes them. Raises ValueError."""
    for _, name, form, kind in Formatter().parse(text):
        if name is not None:
            yield "".join(("{", name, f"!{kind}" if kind else "", f":{form}" if form else "", "}"))


def _listed(shape: tuple[frozenset[str], tuple[str, ...]]) -> str:
    return " ".join((*sorted(shape[0]), *shape[1])) or "none"


def _wrong(language: str, said: str, hint: str) -> BadInput:
    return BadInput(f"{language}.toml: {said}", hint=hint, code="bad_catalogue")
