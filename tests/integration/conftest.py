"""A devnet of its own for every test that asks for one: a fresh chain with the market, a block per transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.devnet import Devnet


@pytest.fixture
def devnet(tmp_path: Path) -> Iterator[Devnet]:
    with Devnet.up(tmp_path / "devnet", store=False, service=False) as running:
        yield running
