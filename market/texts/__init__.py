"""What pages, scripts and assistant say: one file for each language, all of the same shape. English is the first.

    text("wizard.title", …)          a text by section and name; its places are {name}
    tr("Made by %(maker)s", …)       English where it is said, and its own key in [pages]
    tr`${done} of ${all}`            the same in the pages' scripts and [scripts]: "{0} of {1}"

A second language is a file beside `en.toml` with the same sections and keys, and nothing else: `heldout market serve
--language` finds it by its name. What it lacks is said in English. Keys that are English are found in the sources by
tools/texts.py, which keeps `en.toml` in step.
"""

from pathlib import Path
from typing import Final

from heldout.market.texts.reading import Catalogue, read

ENGLISH: Final = "en"
FOLDER = Path(__file__).parent
_spoken = [ENGLISH]
_pages: dict[str, str] = {}
"""Of the language spoken, [pages]; empty for English, which is its own key."""


def languages() -> list[str]:
    """Those that there are files of."""
    return sorted(file.name.removesuffix(".toml") for file in FOLDER.iterdir() if file.name[-5:] == ".toml")


def speak(language: str) -> None:
    """From now on this process says everything in `language`.

    Raises KeyError if there is none of that name, BadInput for a catalogue with a text that cannot stand for English.
    """
    if language not in languages():
        raise KeyError(language)
    pages = catalogue(language)["pages"] if language != ENGLISH else {}
    _spoken[0] = language
    _pages.clear()
    _pages.update(pages)


def spoken() -> str:
    return _spoken[0]


def catalogue(language: str) -> Catalogue:
    """All texts of a language, by section and key; English where it has none. Raises BadInput."""
    return read(FOLDER, language, ENGLISH)


def text(key: str, /, **values: object) -> str:
    """The text `section.name` with its {names} filled in. Raises KeyError if English lacks it."""
    section, _, name = key.partition(".")
    return catalogue(spoken())[section][name].strip().format(**values)


def tr(english: str, /, **values: object) -> str:
    """The same in the language spoken, or as it is where the catalogue lacks it. Where `values` are given their places
    are %(name)s, and a per cent sign is %%."""
    said = _pages.get(english, english)
    return said % values if values else said


def later(english: str, /) -> str:
    """Marks a constant as a text of the catalogue: whoever shows it calls `tr`."""
    return english


__all__ = ["ENGLISH", "FOLDER", "catalogue", "languages", "later", "speak", "spoken", "text", "tr"]
