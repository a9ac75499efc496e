"""What a job is made of: manifest, task files and training data, out of the stores and checked (P2.3, P2.4).

work/<job>/task/…                the requester's files, by their names in the manifest
work/<job>/data/NNN.safetensors  training shards, opened
work/<job>/checkpoint.tar        what it last kept of its state (`checkpoints.py`)
work/<job>/weights.safetensors   what the job left, or what stands in for it (`untrained.py`)
work/<job>/model.onnx            the graph, fetched if the program failed
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from heldout.market.artifacts import ArtifactId, ArtifactStore, artifact_id, parse_id
from heldout.market.durable import write_whole
from heldout.market.errors import BadEnvelope, BadManifest, StoreProblem
from heldout.market.manifest import Manifest
from heldout.market.sealing import LEAF_BYTES, SEAL_OVERHEAD, Leaf, decode_leaves, make_envelope, open_shard
from heldout.market.terms import JobId, JobTerms, scorer_id
from heldout.provider.bidding import Refusal, Rule

MANIFEST_LIMIT = 1 << 20
TASK_LIMIT = 1 << 28
"""Bytes of all task files together: the disk of a job counts what it writes, not what it is given."""
GRAPH_LIMIT = 1 << 26
LEAST_ROOM = 1 << 26
"""Free bytes below which a job's failure counts as this machine's."""
KEY_BYTES = 32


class Materials:
    """Reads from the stores into `home`/work."""

    def __init__(self, stores: ArtifactStore, home: Path) -> None:
        self._stores = stores
        self._work = home / "work"
        self._manifests: dict[bytes, Manifest] = {}
        self._whole: set[tuple[bytes, bytes]] = set()

    def folder(self, job: JobId) -> Path:
        """Only this user gets here; the folders inside are open, since the sandbox reads them as another user."""
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = self._work / job
        folder.mkdir(exist_ok=True)
        return folder

    def forget(self, job: JobId) -> None:
        """Remove a job's files, the requester's data among them."""
        shutil.rmtree(self._work / job, ignore_errors=True)

    def manifest(self, terms: JobTerms) -> Manifest | Refusal:
        """The manifest that the task hash names, or why no bid can be made on it."""
        known = self._manifests.get(terms.taskHash)
        if known is not None:
            return known
        try:
            manifest = Manifest.decode(self._stores.get(artifact_id(terms.taskHash), MANIFEST_LIMIT))
            _check(manifest, terms)
        except StoreProblem as problem:
            return Refusal(Rule.TASK_UNAVAILABLE, problem.message)
        except (BadManifest, BadEnvelope) as problem:
            return Refusal(Rule.BAD_TASK, problem.message)
        self._manifests[terms.taskHash] = manifest
        return manifest

    def data_here(self, terms: JobTerms) -> bool:
        """Whether the stores hold the task's files and graph, the list of leaves and every sealed shard, none larger
        than is said: what cannot be fetched later makes the provider the one who did not submit (threat 49)."""
        task = self.manifest(terms)
        if (terms.taskHash, terms.dataRoot) not in self._whole:
            try:
                sealed_bytes = terms.shardBytes + SEAL_OVERHEAD
                needed = [(artifact_id(leaf.sealed_hash), sealed_bytes) for leaf in self._leaves(terms)]
                if isinstance(task, Manifest):
                    needed += [(parse_id(file.sha256), file.bytes) for file in (*task.files, task.graph)]
                if not all(self._fits(artifact, most) for artifact, most in needed):
                    return False
            except (StoreProblem, BadEnvelope):
                return False
            self._whole.add((terms.taskHash, terms.dataRoot))
        return True

    def _fits(self, artifact: ArtifactId, most: int) -> bool:
        size = self._stores.size(artifact)
        return size is not None and size <= most

    def weights(self, job: JobId) -> Path:
        return self.folder(job) / "weights.safetensors"

    def a_shard(self, job: JobId) -> Path:
        """One opened training shard: the first."""
        return min((self.folder(job) / "data").iterdir())

    def has_room(self) -> bool:
        """Whether this machine's own disk is not what a job failed of."""
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        return shutil.disk_usage(self._work).free >= LEAST_ROOM

    def fetch_graph(self, manifest: Manifest, job: JobId) -> Path:
        """The model graph, as the seats fetch it; empty if it is more than they read. Raises StoreProblem."""
        path = self.folder(job) / "model.onnx"
        try:
            self._stores.fetch(parse_id(manifest.graph.sha256), path, GRAPH_LIMIT)
        except StoreProblem as problem:
            if problem.code != "artifact_too_large":
                raise
            write_whole(path, b"")
        return path

    def fetch_task(self, manifest: Manifest, folder: Path) -> None:
        """The task's files into `folder`. Raises StoreProblem."""
        for file in manifest.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stores.fetch(parse_id(file.sha256), path, file.bytes)
            path.chmod(0o644)

    def open_data(self, terms: JobTerms, keys: bytes, shards: Sequence[int], folder: Path) -> None:
        """The training shards into `folder`, each proved to have been fixed before the job was posted (P2.4).

        Raises StoreProblem for what is not there yet, BadEnvelope if a key does not open its shard.
        """
        folder.mkdir(exist_ok=True)
        leaves = self._leaves(terms)
        for place, shard in enumerate(shards):
            sealed = self._stores.get(artifact_id(leaves[shard].sealed_hash), terms.shardBytes + SEAL_OVERHEAD)
            key = keys[place * KEY_BYTES : (place + 1) * KEY_BYTES]
            write_whole(folder / f"{shard:03d}.safetensors", open_shard(key, sealed, leaves[shard]), mode=0o644)

    def _leaves(self, terms: JobTerms) -> tuple[Leaf, ...]:
        return decode_leaves(self._stores.get(artifact_id(terms.dataRoot), terms.shards * LEAF_BYTES), terms.shards)


def _check(manifest: Manifest, terms: JobTerms) -> None:
    """What manifest and terms both say must be the same, and it can be started. Raises BadManifest, BadEnvelope."""
    if manifest.metric != terms.metric_name or scorer_id(manifest.scorer) != terms.scorer:
        raise BadManifest("manifest and terms name different metrics or scorers")
    needs = manifest.resources
    if not all(manifest.command) or not all((needs.cpus, needs.memory_bytes, needs.disk_bytes, needs.seconds)):
        raise BadManifest("the task's command has an empty word, or it asks for none of something it needs")
    if sum(file.bytes for file in manifest.files) > TASK_LIMIT:
        raise BadManifest(f"the task's files have more than {TASK_LIMIT >> 20} MiB")
    make_envelope(bytes(32), terms.wrapKey, b"", b"")  # halves of the weights key could not be sent to another key
