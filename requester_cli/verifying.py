"""Measuring a job again, at home: everything the chain fixed is recomputed, then the score itself (P7.5, P9.2)."""

from collections.abc import Sequence
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


def held_out_shards(chain: Chain, keys: KeyRing, job: JobState, get: Get) -> list[bytes]:
    """The plain held-out shards, each proved to have been fixed before the job was posted."""
    if job.accept_block is None:
        raise BadInput("the job was never accepted, so nothing was held out", code="nothing_to_verify")
    terms = job.terms
    split = chain.split(terms, job.accept_block)
    leaves = decode_leaves(get(terms.dataRoot, terms.shards * LEAF_BYTES), terms.shards)
    limit = terms.shardBytes + SEAL_OVERHEAD
    return [
        open_shard(shard_key(keys.data_secret, terms.salt, i), get(leaves[i].sealed_hash, limit), leaves[i])
        for i in split.held_out
    ]


def read_task(terms: JobTerms, get: Get) -> tuple[Manifest, bytes]:
    """The manifest and the graph that the terms name."""
    manifest = Manifest.decode(get(terms.taskHash, _MANIFEST_LIMIT))
    return manifest, get(bytes.fromhex(manifest.graph.sha256), manifest.graph.bytes)


def verify(chain: Chain, keys: KeyRing, job: JobState, weights: dict[int, bytes], get: Get) -> list[Check]:
    """Score the given lanes' weights again. Raises BadInput if the job has no scores."""
    standing = job.standing
    if standing is None or not weights:
        hint = "a job has scores from its first majority on; weights open once a lane is paid"
        raise BadInput("there is no score to compare with, or no weights to score", hint=hint, code="nothing_to_verify")
    identity = job_id(job.terms, chain.network.chain_id, chain.network.market)
    manifest, graph = read_task(job.terms, get)
    checks = [
        Check("terms", identity, job.id),
        Check("task", manifest.task_hash.hex(), job.terms.taskHash.hex()),
        Check("metric", manifest.metric, job.terms.metric_name),
    ]
    shards = held_out_shards(chain, keys, job, get)
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
