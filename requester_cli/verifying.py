"""Measuring a job again, at home: everything the chain fixed is recomputed, then the score itself (P7.5, P9.2)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heldout.market.chain import Chain
from heldout.market.errors import BadInput
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import JobState
from heldout.market.manifest import Manifest
from heldout.market.messages import CODES, describe_score, evidence_root
from heldout.market.sealing import LEAF_BYTES, SEAL_OVERHEAD, decode_leaves, open_shard, shard_key
from heldout.market.terms import JobTerms, job_id
from heldout.requester_cli.opening import Get
from heldout.requester_cli.scoring import score, vote_of

_MANIFEST_LIMIT = 1 << 20


@dataclass(frozen=True)
class Check:
    """One thing that was recomputed, and whether it is as the chain says. `reason` is why `here` is no number."""

    what: str
    here: str
    chain: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.here == self.chain


KeyOf = Callable[[int], bytes]
"""The key of a shard."""


def held_out_shards(chain: Chain, key_of: KeyOf, job: JobState, get: Get) -> list[bytes]:
    """The plain held-out shards, each proved to have been fixed before the job was posted. Raises BadEnvelope."""
    if job.accept_block is None:
        raise BadInput("the job was never accepted, so nothing was held out", code="nothing_to_verify")
    terms = job.terms
    split = chain.split(terms, job.accept_block)
    leaves = decode_leaves(get(terms.dataRoot, terms.shards * LEAF_BYTES), terms.shards)
    limit = terms.shardBytes + SEAL_OVERHEAD
    return [open_shard(key_of(i), get(leaves[i].sealed_hash, limit), leaves[i]) for i in split.held_out]


def read_manifest(terms: JobTerms, get: Get) -> Manifest:
    """The manifest that the terms name."""
    return Manifest.decode(get(terms.taskHash, _MANIFEST_LIMIT))


def read_task(terms: JobTerms, get: Get) -> tuple[Manifest, bytes]:
    """The manifest and the graph that the terms name."""
    manifest = read_manifest(terms, get)
    return manifest, get(bytes.fromhex(manifest.graph.sha256), manifest.graph.bytes)


def identity_checks(chain: Chain, job: JobState, manifest: Manifest) -> list[Check]:
    """That the terms are those of the job's id, and the task is that of the terms."""
    identity = job_id(job.terms, chain.network.chain_id, chain.network.market)
    return [
        Check("terms", identity, job.id),
        Check("task", manifest.task_hash.hex(), job.terms.taskHash.hex()),
        Check("metric", manifest.metric, job.terms.metric_name),
    ]


def verify(chain: Chain, keys: KeyRing, job: JobState, weights: dict[int, bytes], get: Get) -> list[Check]:
    """Score the given lanes' weights again, as the requester. Raises BadInput if the job has no scores."""
    secret, salt = keys.data_secret, job.terms.salt
    return measure(chain, lambda shard: shard_key(secret, salt, shard), job, weights, get)


def measure(chain: Chain, key_of: KeyOf, job: JobState, weights: Mapping[int, bytes], get: Get) -> list[Check]:
    """As `verify`, for whoever has the held-out shards' keys. Raises BadEnvelope for a key that opens nothing."""
    standing = job.standing
    if standing is None or not weights:
        hint = "a job has scores from its first majority on; weights open once a lane is paid"
        raise BadInput("there is no score to compare with, or no weights to score", hint=hint, code="nothing_to_verify")
    manifest, graph = read_task(job.terms, get)
    checks = identity_checks(chain, job, manifest)
    shards = held_out_shards(chain, key_of, job, get)
    evidences: dict[int, bytes] = {}
    for lane, data in weights.items():
        result = score(job.terms, graph, data, shards)
        evidences[lane] = result.evidence
        here, there = vote_of(result), standing[lane]
        told = result.reason or ""
        checks.append(Check(f"score of lane {lane}", describe_score(here), describe_score(there), told))
    return [*checks, *_evidence(job, standing, evidences)]


def _evidence(job: JobState, standing: Sequence[int], evidences: dict[int, bytes]) -> list[Check]:
    """If all lanes could be scored here: the predictions of every seat of the majority, row for row (P9.5)."""
    if len(evidences) != len(job.lanes) or any(score in CODES for score in standing):
        return []
    here = evidence_root(evidences[lane] for lane in sorted(evidences))
    deciding = next(round_ for round_ in reversed(job.rounds) if round_.result is not None)
    return [
        Check(f"predictions of seat {deciding.seats[place]}", here.hex(), deciding.evidence[place].hex())
        for place, vote in sorted(deciding.votes.items())
        if vote == deciding.result
    ]
