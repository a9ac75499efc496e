"""tests/vectors/*.json, which the Solidity tests read too, are what Python computes (P2.1, P3.3, P3.5, P5.2, P8)."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES: dict[Path, str] = runpy.run_path(str(ROOT / "tools/vectors.py"))["files"]()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_python_still_computes_the_committed_vectors(path: Path) -> None:
    assert path.read_text() == FILES[path], "run: python tools/vectors.py"


def test_a_hundred_payouts_go_both_ways_and_meet_both_corners() -> None:
    cases = json.loads(FILES[ROOT / "tests/vectors/payout.json"])["cases"]
    assert len(cases) == 100
    assert {case["target"] > case["floor"] for case in cases} == {True, False}
    assert any(case["payout"] == case["bid"] for case in cases)
    assert any(case["payout"] == "0" for case in cases)
    assert any(case["score"] == case["floor"] for case in cases)
