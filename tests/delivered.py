"""A job as its seats get to see it: sealed shards, sealed weights and the letters that open them, all real.

One test spoils one part: the word, a letter, an artifact. Nothing is on a chain; `Delivery.case` says what would be.
"""

from dataclasses import dataclass, replace
from hashlib import sha256

from builders import JOB, JOB_BYTES, PROVIDERS, REQUESTER, TERMS, digest

from heldout.market.errors import StoreProblem
from heldout.market.manifest import Manifest, Resources, TaskFile
from heldout.market.messages import Kind, Letter, Submission, hexed
from heldout.market.sealing import (
    encode_leaves,
    envelope_context,
    make_envelope,
    pad_shard,
    seal_shard,
    seal_weights,
    shard_key,
    wrap_public_key,
)
from heldout.market.split import draw_split
from heldout.market.terms import Address, JobTerms
from heldout.validator.measuring import Case
from heldout.validator.opening import Entry, Reader

SEAT = Address("0x" + "5e" * 20)
SEAT_PRIVATE, REQUESTER_PRIVATE, PROVIDER_PRIVATE = (
    digest(f"{who} wraps") for who in ("seat", "requester", "provider")
)
READER = Reader(SEAT, SEAT_PRIVATE)
HALF_A, HALF_B, SEED_A = (digest(name) for name in ("half a", "half b", "seed a"))
SPLIT = draw_split(digest("split"), JOB_BYTES, TERMS.shards, TERMS.heldOut)
DATA_SECRET = digest("data secret")


class Shelf:
    """Artifacts by their SHA-256, as `opening.Get`. `lost` ones are there no more."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.lost: set[bytes] = set()

    def put(self, data: bytes) -> bytes:
        name = sha256(data).digest()
        self.blobs[name] = data
        return name

    def __call__(self, name: bytes, limit: int) -> bytes:
        if name in self.lost or name not in self.blobs:
            raise StoreProblem(f"no store has {name.hex()}", code="artifact_missing")
        if len(self.blobs[name]) > limit:
            raise StoreProblem(f"{name.hex()} has more than {limit} bytes", code="artifact_too_large")
        return self.blobs[name]


def rows(shard: int) -> bytes:
    """What is in a shard; opening does not care what it means."""
    return b"rows of shard %d" % shard


def key_of(shard: int) -> bytes:
    return shard_key(DATA_SECRET, TERMS.salt, shard)


@dataclass(frozen=True)
class Delivery:
    """Everything of one honest job with one lane."""

    shelf: Shelf
    terms: JobTerms
    entry: Entry
    submission: Letter
    held_out: Letter
    sealed_hash: bytes

    @property
    def case(self) -> Case:
        return Case(JOB, self.terms, (self.entry,), frozenset(), SPLIT)

    @property
    def letters(self) -> tuple[Letter, Letter]:
        return self.submission, self.held_out


def deliver(weights: bytes = b"weights", graph: bytes = b"graph", metric: str = "accuracy") -> Delivery:
    shelf = Shelf()
    terms = replace(TERMS, wrapKey=wrap_public_key(REQUESTER_PRIVATE), shardBytes=256, dataRoot=_seal_data(shelf))
    terms = replace(terms, taskHash=_task(shelf, graph, metric))
    provider = PROVIDERS[0]
    sealed = seal_weights(HALF_A, HALF_B, weights, JOB_BYTES, provider)
    context = envelope_context(JOB_BYTES, Kind.SUBMISSION, provider, REQUESTER)
    envelope_a = make_envelope(SEED_A, terms.wrapKey, HALF_A, context)
    hashes = Submission(*(sha256(part).digest() for part in (weights, sealed, HALF_B, envelope_a)))
    entry = Entry(JOB, 0, provider, wrap_public_key(PROVIDER_PRIVATE), hashes.word(JOB_BYTES, provider))
    body = {
        "lane": 0,
        "weightsHash": hexed(hashes.weights_hash),
        "sealedHash": hexed(shelf.put(sealed)),
        "halfBHash": hexed(hashes.half_b_hash),
        "envelopeA": hexed(envelope_a),
    }
    submission = to_seat(Kind.SUBMISSION, provider, HALF_A + HALF_B + SEED_A, body)
    held_out = to_seat(Kind.HELD_OUT_KEYS, REQUESTER, b"".join(map(key_of, SPLIT.held_out)))
    return Delivery(shelf, terms, entry, submission, held_out, hashes.sealed_hash)


def to_seat(kind: Kind, sender: Address, secret: bytes, body: dict[str, object] | None = None) -> Letter:
    """A letter to SEAT whose envelope holds `secret`."""
    context = envelope_context(JOB_BYTES, kind, sender, SEAT)
    envelope = make_envelope(digest(f"{kind} {sender}"), wrap_public_key(SEAT_PRIVATE), secret, context)
    return Letter(JOB, kind, sender, SEAT, {**(body or {}), "envelope": hexed(envelope)})


def but(letter: Letter, **changes: object) -> Letter:
    """The letter with other fields in its body."""
    return replace(letter, body={**letter.body, **changes})


def training_letter(seed: bytes, keys: bytes | None = None) -> Letter:
    """The requester's answer to a demand for training keys."""
    secret = b"".join(map(key_of, SPLIT.training)) if keys is None else keys
    context = envelope_context(JOB_BYTES, Kind.TRAINING_KEYS, REQUESTER, PROVIDERS[0])
    envelope = make_envelope(seed, wrap_public_key(PROVIDER_PRIVATE), secret, context)
    return Letter(JOB, Kind.TRAINING_KEYS, REQUESTER, PROVIDERS[0], {"envelope": hexed(envelope)})


def _seal_data(shelf: Shelf) -> bytes:
    """Shards on the shelf; their data root, which is the name of the list of leaves."""
    sealed = [seal_shard(key_of(i), pad_shard(rows(i), 256)) for i in range(TERMS.shards)]
    for data, _ in sealed:
        shelf.put(data)
    return shelf.put(encode_leaves([leaf for _, leaf in sealed]))


def _task(shelf: Shelf, graph: bytes, metric: str) -> bytes:
    file = TaskFile("model.onnx", shelf.put(graph).hex(), len(graph))
    manifest = Manifest(
        (), {"linux/amd64": "sha256:" + "0" * 64}, ("train",), Resources(1, 2, 3, 0, 4), file, metric, "score-v1"
    )
    return shelf.put(manifest.encode())
