"""What a provider fetches, opens and trains with: checked before use, redone after a crash (P2.3, P2.4)."""

from __future__ import annotations

import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from builders import JOB, TERMS, digest

from heldout.market.artifacts import DiskStore
from heldout.market.durable import write_whole
from heldout.market.errors import BadEnvelope, StoreProblem
from heldout.market.failpoint import failpoints, unarmed
from heldout.market.manifest import Manifest, Resources, TaskFile
from heldout.market.sealing import encode_leaves, pad_shard, seal_shard
from heldout.market.settings import Network
from heldout.market.terms import JobTerms
from heldout.provider.bidding import Refusal, Rule
from heldout.provider.chores import Chores
from heldout.provider.materials import Materials

TRAIN = b"print('trained')"
SHARD_BYTES = 256


def manifest(**changes: object) -> Manifest:
    sound = Manifest(
        files=(TaskFile("lib/train.py", sha256(TRAIN).hexdigest(), len(TRAIN)),),
        image={"linux/amd64": "sha256:" + "0" * 64},
        command=("python", "/in/task/lib/train.py"),
        resources=Resources(1, 1, 1, 0, 1),
        graph=TaskFile("model.onnx", digest("graph").hex(), 10),
        metric="accuracy",
        scorer="score-v1",
    )
    return replace(sound, **changes)  # type: ignore[arg-type]


class World:
    """A store with one job's manifest, task and four sealed shards in it."""

    def __init__(self, folder: Path, task: Manifest | None = None) -> None:
        self.store = DiskStore(folder / "store")
        self.keys = [digest(f"key {i}") for i in range(4)]
        sealed = [seal_shard(k, pad_shard(f"shard {i}".encode(), SHARD_BYTES)) for i, k in enumerate(self.keys)]
        self.leaves = [leaf for _, leaf in sealed]
        self.blobs = [blob for blob, _ in sealed]
        self.task = task or manifest()
        self.terms: JobTerms = replace(
            TERMS,
            taskHash=self.task.task_hash,
            dataRoot=sha256(encode_leaves(self.leaves)).digest(),
            shards=4,
            shardBytes=SHARD_BYTES,
            wrapKey=bytes([9]) + bytes(31),
        )
        for data in (self.task.encode(), TRAIN, b"graph", encode_leaves(self.leaves), *self.blobs):
            self.store.put(data)
        self.materials = Materials(self.store, folder / "home")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refusal_of(world: World) -> Rule:
    verdict = world.materials.manifest(world.terms)
    assert isinstance(verdict, Refusal)
    return verdict.rule


def test_a_task_is_fetched_as_its_manifest_says(world: World) -> None:
    assert world.materials.manifest(world.terms) == world.task
    folder = world.materials.folder(JOB) / "task"
    world.materials.fetch_task(world.task, folder)
    assert (folder / "lib/train.py").read_bytes() == TRAIN
    world.materials.fetch_task(world.task, folder)


def test_a_task_that_no_store_has_or_that_is_not_sound_is_a_reason_not_to_bid(world: World, tmp_path: Path) -> None:
    world.terms = replace(world.terms, taskHash=digest("nothing"))
    assert refusal_of(world) is Rule.TASK_UNAVAILABLE
    world.store.put(b"not a manifest")
    world.terms = replace(world.terms, taskHash=sha256(b"not a manifest").digest())
    assert refusal_of(world) is Rule.BAD_TASK


@pytest.mark.parametrize("changes", [{"metric": "rmse"}, {"scorer": "score-v2"}])
def test_a_manifest_that_contradicts_the_terms_is_no_task(tmp_path: Path, changes: dict[str, object]) -> None:
    assert refusal_of(World(tmp_path, manifest(**changes))) is Rule.BAD_TASK


def test_a_requester_to_whom_nothing_can_be_wrapped_gets_no_bid(world: World) -> None:
    """P4.4: half a goes into an envelope to its key; a low-order key makes none."""
    world.terms = replace(world.terms, wrapKey=bytes(32))
    assert refusal_of(world) is Rule.BAD_TASK


def test_only_the_training_shards_are_opened_and_each_is_the_one_of_the_data_root(world: World) -> None:
    folder = world.materials.folder(JOB) / "data"
    keys = world.keys[1] + world.keys[3]
    world.materials.open_data(world.terms, keys, (1, 3), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "001.safetensors": b"shard 1",
        "003.safetensors": b"shard 3",
    }
    with pytest.raises(BadEnvelope):
        world.materials.open_data(world.terms, world.keys[3] + world.keys[1], (1, 3), folder)


def test_a_bid_needs_every_sealed_shard_to_be_in_the_stores(world: World, tmp_path: Path) -> None:
    """Threat 49: whoever cannot fetch the data after it was bound would be the one who did not submit."""
    assert world.materials.data_here(world.terms)
    empty = Materials(DiskStore(tmp_path / "other"), tmp_path / "home")
    assert not empty.data_here(world.terms)
    partial = DiskStore(tmp_path / "partial")
    for data in (world.task.encode(), TRAIN, b"graph", encode_leaves(world.leaves), *world.blobs[:-1]):
        partial.put(data)
    assert not Materials(partial, tmp_path / "home").data_here(world.terms)
    partial.put(world.blobs[-1])
    assert Materials(partial, tmp_path / "home").data_here(world.terms)


@pytest.mark.parametrize("missing", [TRAIN, b"graph"])
def test_a_bid_needs_the_tasks_files_and_graph_to_be_in_the_stores(
    world: World, tmp_path: Path, missing: bytes
) -> None:
    """Threat 49."""
    partial = DiskStore(tmp_path / "partial")
    everything = (world.task.encode(), TRAIN, b"graph", encode_leaves(world.leaves), *world.blobs)
    for data in everything:
        if data != missing:
            partial.put(data)
    assert not Materials(partial, tmp_path / "home").data_here(world.terms)
    partial.put(missing)
    assert Materials(partial, tmp_path / "home").data_here(world.terms)


@pytest.mark.parametrize("what", ["file", "shard"])
def test_a_bid_needs_nothing_to_be_larger_than_is_said(world: World, tmp_path: Path, what: str) -> None:
    """Threat 49, P10: what is over its bound is there, and can never be fetched."""
    store, task, terms = DiskStore(tmp_path / "elsewhere"), world.task, world.terms
    if what == "file":
        small = replace(task.files[0], bytes=task.files[0].bytes - 1)
        task = replace(task, files=(small, *task.files[1:]))
        terms = replace(terms, taskHash=task.task_hash)
    else:
        terms = replace(terms, shardBytes=terms.shardBytes - 1)
    for data in (task.encode(), TRAIN, b"graph", encode_leaves(world.leaves), *world.blobs):
        store.put(data)
    assert not Materials(store, tmp_path / "home").data_here(terms)


@pytest.mark.parametrize("changes", [{"command": ("python", "")}, {"resources": Resources(1, 1, 1, 0, 0)}])
def test_a_task_that_the_sandbox_would_refuse_to_start_is_no_task(tmp_path: Path, changes: dict[str, object]) -> None:
    """P10: who is bound and cannot begin loses its collateral to the requester."""
    assert refusal_of(World(tmp_path, manifest(**changes))) is Rule.BAD_TASK


def test_a_finished_jobs_files_are_gone_and_others_stay(world: World) -> None:
    kept = world.materials.folder(JOB)
    write_whole(kept / "file", b"data")
    world.materials.forget(JOB)
    world.materials.forget(JOB)
    assert not kept.exists()
    assert kept.parent.exists()


def test_strangers_data_lies_where_only_this_user_gets(world: World) -> None:
    assert world.materials.folder(JOB).parent.stat().st_mode & 0o077 == 0


def test_an_errand_is_begun_once_and_its_failure_is_told_once() -> None:
    chores, go, runs = Chores(), threading.Event(), []

    def errand() -> None:
        runs.append(1)
        go.wait(5)

    def fails() -> None:
        raise StoreProblem("down")

    try:
        assert not chores.done("a", errand)
        assert not chores.done("a", errand)
        go.set()
        assert _eventually(chores, "a", errand)
        assert len(runs) == 1
        with pytest.raises(StoreProblem):
            _eventually(chores, "b", fails)
        assert not chores.done("b", errand)
    finally:
        chores.close()


def _eventually(chores: Chores, name: str, errand: object) -> bool:
    pause = threading.Event()
    for _ in range(500):
        if chores.done(name, errand):  # type: ignore[arg-type]
            return True
        pause.wait(0.01)
    return False


def test_failpoints_exist_on_a_devnet_only() -> None:
    """A node with real money cannot be killed by a variable in its environment."""
    devnet = Network("devnet", 31337, "", (), "", "", 0, "", ())
    armed = {"HELDOUT_FAILPOINT": "sealed"}
    assert failpoints(replace(devnet, chain_id=1), armed) is unarmed
    assert failpoints(devnet, {}) is unarmed
    reach = failpoints(devnet, armed)
    reach("another place")
    assert reach is not unarmed
