"""What the stores say a task is made of, fetched by the market service: a stranger wrote it."""

from dataclasses import replace
from pathlib import Path

import pytest

from heldout.market.artifacts import ArtifactId, artifact_id
from heldout.market.errors import StoreProblem
from heldout.market.manifest import Manifest
from heldout.market.service.manifests import Fetcher, Manifests
from tests.databases import database_of
from tests.scenery import Scenery, indexed
from tests.unit.test_manifest import GOOD


class Shelf:
    """A store that keeps what it is given, and whatever fails behind it."""

    def __init__(self, *manifests: Manifest, broken: Manifest | None = None) -> None:
        self._kept = {artifact_id(each.task_hash): each.encode() for each in manifests}
        self._broken = broken and artifact_id(broken.task_hash)

    def get(self, artifact: ArtifactId, limit: int) -> bytes:
        if artifact == self._broken:
            raise OverflowError("a number that nobody thought of")
        if artifact not in self._kept:
            raise StoreProblem("not here", code="artifact_missing")
        return self._kept[artifact]


@pytest.fixture
def scene() -> Scenery:
    return Scenery()


@pytest.mark.attack
@pytest.mark.parametrize("gpus", [2**31, 2**53 - 1, 2**63, 10**300])
def test_a_hostile_manifest_keeps_no_other_from_being_known(tmp_path: Path, scene: Scenery, gpus: int) -> None:
    hostile = replace(GOOD, resources=replace(GOOD.resources, gpus=gpus))
    scene.job("honest", taskHash=GOOD.task_hash)
    scene.mine()
    scene.job("hostile", taskHash=hostile.task_hash)  # newer, so it is fetched first
    engine = database_of(tmp_path / "index.db")
    indexed(engine, scene)
    manifests = Manifests(engine)
    Fetcher(manifests, Shelf(GOOD, hostile), lambda: 0.0).step()
    assert manifests.of(GOOD.task_hash) == GOOD
    assert (manifests.of(hostile.task_hash) is None) == (gpus >= 2**53)
    engine.dispose()


def test_whatever_fails_for_one_manifest_the_others_come(tmp_path: Path, scene: Scenery) -> None:
    odd = replace(GOOD, command=("python3",))
    scene.job("honest", taskHash=GOOD.task_hash)
    scene.mine()
    scene.job("odd", taskHash=odd.task_hash)
    engine = database_of(tmp_path / "index.db")
    indexed(engine, scene)
    manifests = Manifests(engine)
    fetcher = Fetcher(manifests, Shelf(GOOD, broken=odd), lambda: 0.0)
    fetcher.step()
    assert manifests.of(GOOD.task_hash) == GOOD
    assert manifests.lacking() == ["0x" + odd.task_hash.hex()]
    engine.dispose()
