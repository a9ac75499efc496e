"""docs/threats.md promises tests: every one it names exists, and no row is left without a word."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threats.md").read_text()
CITED = sorted(set(re.findall(r"`((?:tests|contracts)/[\w/.-]+)::(\w+)`", PAGE)))
ROWS = [line.strip("|").split(" | ") for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]
NOT_GIVEN = {68}
"""Numbers up to 90 are those of the design that came first; this one was struck."""


def defines(path: Path, test: str) -> bool:
    keyword = "function" if path.suffix == ".sol" else "def"
    return path.is_file() and re.search(rf"\b{keyword} {test}\(", path.read_text()) is not None


@pytest.mark.parametrize(("path", "test"), CITED)
def test_every_test_the_page_names_exists(path: str, test: str) -> None:
    assert defines(ROOT / path, test)


def test_every_threat_has_one_row_and_each_row_a_test_or_a_plain_not_yet() -> None:
    numbers = [int(row[0]) for row in ROWS]
    assert numbers == sorted(set(range(1, 93)) - NOT_GIVEN)
    silent = [row[0] for row in ROWS if "::" not in row[-1] and "Not yet" not in row[-1]]
    assert silent == []


def test_the_page_names_many_tests() -> None:
    """The pattern above finds what it looks for."""
    assert len(CITED) > 80
