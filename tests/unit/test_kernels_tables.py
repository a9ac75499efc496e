"""Tables are files: the ones that docs/score-v1.md names, with the values that exact arithmetic gives."""

from pathlib import Path

import numpy as np
import pytest
import score_tables

from heldout.kernels import tables
from heldout.kernels.errors import SelfTestFailed
from heldout.kernels.tables import ENTRIES, Table, table

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "score-v1.md").read_text()


@pytest.mark.parametrize("name", score_tables.TABLES)
def test_a_table_is_the_one_on_the_page(name: str) -> None:
    """P9.2: scale, offset and hash, and the values at both ends, in the middle and at places drawn once."""
    found = table(name)
    digest = tables._KNOWN[name][2]
    assert f"| `{name}` | {found.scale:.0f} | {found.offset} | `{digest}` |" in PAGE
    assert score_tables.TABLES[name][1:] == (found.scale, found.offset) and len(found.entries) == ENTRIES
    drawn = np.random.default_rng(11).integers(0, ENTRIES, 40).tolist()
    for place in (0, 1, 32767, 32768, 32769, ENTRIES - 1, *drawn):
        assert found.entries[place] == score_tables.entry(name, place)


@pytest.mark.parametrize("name", score_tables.TABLES)
def test_tables_rise_or_fall_all_the_way(name: str) -> None:
    steps = np.diff(table(name).entries)
    if name == "exp":
        assert (steps <= 0).all() and (table(name).entries % 1 == 0).all()
    else:
        assert (steps >= 0).all()


def test_a_damaged_table_is_found_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """P9.4: a machine with another table must not vote."""
    scale, offset, digest = tables._KNOWN["tanh"]
    monkeypatch.setitem(tables._KNOWN, "tanh", (scale, offset, digest[::-1]))
    table.cache_clear()
    with pytest.raises(SelfTestFailed, match="tanh"):
        table("tanh")
    monkeypatch.undo()
    assert isinstance(table("tanh"), Table)
