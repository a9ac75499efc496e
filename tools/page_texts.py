"""What pages say, found in templates and Python: `tr("…")`, `later("…")`, `{% trans %}…{% endtrans %}`, and the tables
that market/service/pages/vocabulary.py names."""

import ast
from collections.abc import Iterator
from pathlib import Path

from heldout.market.service.pages.site import templates
from heldout.market.service.pages.vocabulary import vocabulary

MARKET = Path(__file__).resolve().parents[1] / "market"
TEMPLATES = MARKET / "service" / "templates"


def of_template(source: str) -> Iterator[str]:
    """Of one template."""
    for _, _, words in templates().extract_translations(source, ("gettext", "tr")):  # type: ignore[attr-defined]
        first = words[0] if isinstance(words, tuple) else words
        if first is not None:
            yield first


def of_python(source: str) -> Iterator[str]:
    """Of one module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="tr" | "later"), args=[ast.Constant(value=str(words))]):
                yield words


def said() -> list[str]:
    """Every text once: of templates, then of modules, each in the order of files, then of tables."""
    found = [words for path in sorted(TEMPLATES.iterdir()) for words in of_template(path.read_text())]
    found += [words for path in sorted(MARKET.rglob("*.py")) for words in of_python(path.read_text())]
    return list(dict.fromkeys((*found, *vocabulary())))
