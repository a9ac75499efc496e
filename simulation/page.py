"""docs/mechanism.md: prose by hand, tables by `./run sim --write`, each between two marks."""

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "mechanism.md"


def marked(page: str) -> dict[str, str]:
    """The tables of a page by name."""
    return {match[1]: match[2].strip() for match in _tables(page)}


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables in their places. Raises ValueError for a table that has none."""
    missing = set(tables) - set(marked(page))
    if missing:
        raise ValueError(f"no place for {', '.join(sorted(missing))} in the page")
    return _TABLE.sub(lambda m: f"<!-- {m[1]} -->\n{tables.get(m[1], m[2].strip())}\n<!-- end -->", page)


_TABLE = re.compile(r"<!-- (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def _tables(page: str) -> list[re.Match[str]]:
    return list(_TABLE.finditer(page))
