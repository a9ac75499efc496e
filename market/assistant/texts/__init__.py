"""What assistant and pages say, by language: one file each, all of the same shape. English is the first.

A second language is a file beside `en.toml` with the same sections and keys, and nothing else: `heldout market serve
--language` finds it by its name.
"""

import tomllib
from functools import cache
from importlib.resources import files

ENGLISH = "en"
_spoken = [ENGLISH]


def languages() -> list[str]:
    """Those that there are files of."""
    return sorted(file.name.removesuffix(".toml") for file in files(__package__).iterdir() if file.name[-5:] == ".toml")


def speak(language: str) -> None:
    """From now on this process says everything in `language`. Raises KeyError if there is none of that name."""
    if language not in languages():
        raise KeyError(language)
    _spoken[0] = language


def spoken() -> str:
    return _spoken[0]


def catalogue(language: str) -> dict[str, dict[str, str]]:
    """All texts of a language, by section and name."""
    return _read(language)


@cache
def _read(language: str) -> dict[str, dict[str, str]]:
    return tomllib.loads(files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def text(key: str, /, **values: object) -> str:
    """The text `section.name` with its {names} filled in. Raises KeyError if the catalogue lacks it."""
    section, _, name = key.partition(".")
    return catalogue(spoken())[section][name].strip().format(**values)
