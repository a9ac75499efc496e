"""Languages to try: one that shows what was not translated, and how a process comes to speak any."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from heldout.market import texts

Texts = Mapping[str, Mapping[str, str]]
"""By section and key."""
_PLACES = {"pages": r"%\(\w+\)s", "scripts": r"{\d+}"}


def marked() -> Texts:
    """Every text of English in ⟦brackets⟧, and its values outside of them: ⟦Made by ⟧0x12⟦ for ⟧0x34⟦⟧."""
    english = texts.catalogue("en")
    return {name: {key: _marked(name, text) for key, text in section.items()} for name, section in english.items()}


def _marked(section: str, text: str) -> str:
    return "⟦" + re.sub(f"({_PLACES.get(section, '{[^}]*}')})", r"⟧\1⟦", text) + "⟧"


@contextmanager
def speaking(folder: Path, catalogue: Texts, language: str = "xx") -> Iterator[None]:
    """With a second file beside English, as an operator would put one there."""
    lines = []
    for section, keys in catalogue.items():
        quoted = ((json.dumps(key), json.dumps(text, ensure_ascii=False)) for key, text in keys.items())
        lines += [f"[{section}]", *(f"{key} = {text}" for key, text in quoted)]
    (folder / "en.toml").write_bytes((texts.FOLDER / "en.toml").read_bytes())
    (folder / f"{language}.toml").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(texts, "FOLDER", folder)
        try:
            texts.speak(language)
            yield
        finally:
            texts.speak("en")
