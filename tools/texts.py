"""The catalogue of texts, kept in step with what sources say in English: [pages] and [scripts] of market/texts/en.toml.

python -m tools.texts --write     renews both
python -m tools.texts --check     fails if they are not what sources say; tells what other languages lack
"""

import json
import re
import sys
import tomllib
from pathlib import Path

from heldout.market.texts import catalogue, languages
from tools import page_texts, script_texts

ENGLISH = Path(__file__).resolve().parents[1] / "market" / "texts" / "en.toml"
_RENEWED = "Renewed by tools/texts.py; another language keeps the keys and has other values."
_HEADS = {
    "pages": f"# What pages say: places are %(name)s, tags stay as they are. {_RENEWED}\n[pages]\n",
    "scripts": f"# What scripts say. {_RENEWED}\n[scripts]\n",
}
_FOUND = re.compile(r"^(?:#.*\n)*\[(?:pages|scripts)\]$", re.MULTILINE)


def written() -> str:
    """What en.toml should be: its first sections as they are, and the two that are found."""
    found = {"pages": page_texts.said(), "scripts": script_texts.said()}
    parts = [_FOUND.split(ENGLISH.read_text(), maxsplit=1)[0].rstrip()]
    for section, head in _HEADS.items():
        quoted = (json.dumps(text, ensure_ascii=False) for text in found[section])
        parts.append(head + "".join(f"{text} = {text}\n" for text in quoted).rstrip())
    return "\n\n".join(parts) + "\n"


def lacking(language: str) -> list[str]:
    """Keys of English that a language has no text for, and its own that English does not have."""
    english, own = (tomllib.loads(ENGLISH.with_name(f"{name}.toml").read_text()) for name in ("en", language))
    keys, have = ({(section, key) for section in each for key in each[section]} for each in (english, own))
    return [f"{language}.toml lacks [{section}] {key!r}" for section, key in sorted(keys - have)] + [
        f"{language}.toml has [{section}] {key!r}, which nothing says" for section, key in sorted(have - keys)
    ]


def main() -> int:
    if sys.argv[1:] == ["--write"]:
        ENGLISH.write_text(written())
    elif sys.argv[1:] == ["--check"]:
        for language in languages():
            catalogue(language)
            print(*lacking(language), sep="\n", end="")
        if ENGLISH.read_text() != written():
            print("en.toml is not what sources say: python -m tools.texts --write")
            return 1
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
