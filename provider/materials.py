"""What a job is made of: manifest, task files and training data, out of the stores and checked (P2.3, P2.4).

work/<job>/task/…                the requester's files, by their names in the manifest
work/<job>/data/NNN.safetensors  training shards, opened
work/<job>/checkpoint.tar        what it last kept of its state (`checkpoints.py`)
work/<job>/weights.safetensors   what the job left
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from heldout.market.artifacts import ArtifactStore, artifact_id, parse_id
from heldout.market.durable import write_whole
from heldout.market.errors import BadEnvelope, BadManifest, StoreProblem
from heldout.market.manifest import Manifest
from heldout.market.sealing import LEAF_BYTES, SEAL_OVERHEAD, Leaf, decode_leaves, make_envelope, open_shard
from heldout.market.terms import JobId, JobTerms, scorer_id
from heldout.provider.bidding import Refusal, Rule

MANIFEST_LIMIT = 1 << 20
TASK_LIMIT = 1 << 28
"""Bytes of all task files together: the disk of a job counts what it writes, not what it is given."""
KEY_BYTES = 32


class Materials:
    """Reads from the stores into `home`/work."""

    def __init__(self, stores: ArtifactStore, home: Path) -> None:
        self._stores = stores
        self._work = home / "work"
        self._manifests: dict[bytes, Manifest] = {}
        self._whole: set[bytes] = set()

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
        """Whether the stores hold the list of leaves and every sealed shard: what is missing now may stay missing, and
        then the provider would be the one who did not submit (threat 49)."""
        if terms.dataRoot not in self._whole:
            try:
                leaves = self._leaves(terms)
                if not all(self._stores.has(artifact_id(leaf.sealed_hash)) for leaf in leaves):
                    return False
            except (StoreProblem, BadEnvelope):
                return False
            self._whole.add(terms.dataRoot)
        return True

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
    """What manifest and terms both say must be the same. Raises BadManifest, BadEnvelope."""
    if manifest.metric != terms.metric_name or scorer_id(manifest.scorer) != terms.scorer:
        raise BadManifest("manifest and terms name different metrics or scorers")
    if sum(file.bytes for file in manifest.files) > TASK_LIMIT:
        raise BadManifest(f"the task's files have more than {TASK_LIMIT >> 20} MiB")
    make_envelope(bytes(32), terms.wrapKey, b"", b"")  # halves of the weights key could not be sent to another key
