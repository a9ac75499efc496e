"""What the assistant says, by language: one file each."""

import tomllib
from functools import cache
from importlib.resources import files

LANGUAGES = ("en",)


@cache
def _catalogue(language: str) -> dict[str, dict[str, str]]:
    return tomllib.loads(files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def text(key: str, language: str = "en", /, **values: object) -> str:
    """The text `section.name` with its {names} filled in. Raises KeyError if the catalogue lacks it."""
    section, _, name = key.partition(".")
    return _catalogue(language)[section][name].strip().format(**values)
