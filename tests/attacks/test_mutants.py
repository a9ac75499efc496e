"""Threat 25, a wrong line in the contract that no test sees: what `./run mutants` told is held to the sources."""

import re

import pytest

from tools.mutants.__main__ import PAGE, all_mutants, explained
from tools.mutants.workplace import ROOT, Compiler

pytestmark = [pytest.mark.attack, pytest.mark.integration]


def test_every_survivor_that_is_explained_is_a_change_of_the_present_sources() -> None:
    compiler = Compiler(ROOT)
    try:
        names = [mutant.name for mutant in all_mutants(compiler)]
    finally:
        compiler.close()
    assert len(names) == len(set(names)), "a name tells one change"
    assert explained() <= set(names)


def test_the_page_tells_of_95_percent_and_more() -> None:
    killed, tried = map(int, re.search(r"\*\*(\d+) of (\d+) killed", PAGE.read_text().replace(",", "")).groups())  # type: ignore[union-attr]
    assert killed >= 0.95 * tried
