"""Weights that were fetched, each beside the preimage that ties it to the word on chain.

JOB/lane-0.safetensors      the weights
JOB/lane-0.json             {"weightsHash", "sealedHash", "halfBHash", "envelopeHash"}: see messages.Submission
"""

import json
from hashlib import sha256
from pathlib import Path

from heldout.market.durable import write_whole
from heldout.market.lifecycle import JobState
from heldout.market.messages import Submission
from heldout.market.terms import JobId


class Shelf:
    """A folder of fetched weights."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, job: JobId, lane: int) -> Path:
        return self._folder / job / f"lane-{lane}.safetensors"

    def keep(self, job: JobId, lane: int, submission: Submission, weights: bytes) -> Path:
        path = self.path(job, lane)
        preimage = {
            "weightsHash": submission.weights_hash.hex(),
            "sealedHash": submission.sealed_hash.hex(),
            "halfBHash": submission.half_b_hash.hex(),
            "envelopeHash": submission.envelope_hash.hex(),
        }
        write_whole(path, weights)
        write_whole(path.with_suffix(".json"), json.dumps(preimage, indent=2).encode())
        return path

    def find(self, job: JobState, lane: int) -> bytes | None:
        """The weights of a lane, if they are here and are those of the word on chain."""
        kept = self._read(job, lane)
        return kept[0] if kept else None

    def preimage(self, job: JobState, lane: int) -> Submission | None:
        """What the lane's word commits to, beside job and provider, if its weights are here."""
        kept = self._read(job, lane)
        return kept[1] if kept else None

    def _read(self, job: JobState, lane: int) -> tuple[bytes, Submission] | None:
        path = self.path(job.id, lane)
        try:
            weights, raw = path.read_bytes(), json.loads(path.with_suffix(".json").read_text())
            names = ("weightsHash", "sealedHash", "halfBHash", "envelopeHash")
            submission = Submission(*(bytes.fromhex(raw[name]) for name in names))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        word = submission.word(bytes.fromhex(job.id[2:]), job.lanes[lane].provider)
        genuine = word == job.lanes[lane].word and sha256(weights).digest() == submission.weights_hash
        return (weights, submission) if genuine else None
