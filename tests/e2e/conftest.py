"""One town for all end-to-end tests: starting a market costs seconds, and jobs do not disturb each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.devnet.devnet import Devnet
from tests.e2e.town import VALIDATORS, Town


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory, job_image: str) -> Iterator[Town]:
    """Chain, store, service, a second index that is never disturbed, one real provider and eight real validators,
    all on the plain road: what a round falls back to is tried here, the others in test_roads.py."""
    state, scratch = tmp_path_factory.mktemp("devnet"), tmp_path_factory.mktemp("town")
    with Devnet.up(Path(state), block_time=1, providers=1, validators=VALIDATORS, relayed=False) as devnet:
        assert job_image in devnet.network.images.values()
        town = Town(devnet, scratch)
        town.stake_spare_seats()
        town.start_index("witness")
        yield town
        town.close()
