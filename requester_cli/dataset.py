"""From a folder of rows to sealed shards (P2.4): shuffled in a secret order, cut, padded to one size, sealed, hashed.

Everything follows from the rows, the requester's data secret and a public salt, so a lost disk loses nothing: the salt
is also the terms' salt, hence on chain, and the secret is in the key ring's backup.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from heldout.market import sealing
from heldout.market.errors import BadInput, BadWeights
from heldout.market.posting.drafting import SealedData
from heldout.market.weights import read_rows, row_bytes, split_rows

SHARD_UNIT = 1024
"""Shards are padded to a multiple of this many bytes."""


@dataclass(frozen=True)
class Shards:
    """A sealed data set with its bytes: `sealed[i]` belongs to `leaves[i]`."""

    about: SealedData
    sealed: tuple[bytes, ...]
    leaves: bytes


def seal(files: Sequence[bytes], secret: bytes, salt: bytes, shards: int, *, drop_duplicates: bool = False) -> Shards:
    """Seal the rows of safetensors files with `x` and `y`.

    Raises BadInput `duplicate_rows` if inputs occur twice (a provider could have been given the answer to a held-out
    row), `too_few_rows` if there is not at least one row for each shard, and `bad_data` for files that are not rows.
    """
    try:
        table = read_rows(files)
    except BadWeights as problem:
        hint = problem.hint or "each data file is safetensors with x (float32) and y, rows first; was it written whole?"
        raise BadInput(f"the data cannot be read: {problem.message}", hint=hint, code="bad_data") from None
    rows = _distinct_rows(list(row_bytes({"x": table["x"]})), drop_duplicates)
    if len(rows) < shards:
        raise BadInput(f"{len(rows)} rows do not fill {shards} shards", code="too_few_rows")
    key = sealing.order_key(secret, salt)
    order = sorted(rows, key=lambda row: sealing.derive(key, "row", row.to_bytes(8, "big")))
    parts = split_rows(table, shards, order)
    shard_bytes = padded_size(max(map(len, parts)))
    pairs = [
        sealing.seal_shard(sealing.shard_key(secret, salt, index), sealing.pad_shard(part, shard_bytes))
        for index, part in enumerate(parts)
    ]
    leaves = sealing.encode_leaves([leaf for _, leaf in pairs])
    counts = tuple(len(order) * (i + 1) // shards - len(order) * i // shards for i in range(shards))
    about = SealedData(salt, sha256(leaves).digest(), shards, shard_bytes, counts, fingerprint(files))
    return Shards(about, tuple(sealed for sealed, _ in pairs), leaves)


def open_all(shards: Shards, secret: bytes) -> Iterator[bytes]:
    """The plain safetensors file of each shard, checked against its leaf. Raises BadEnvelope."""
    leaves = sealing.decode_leaves(shards.leaves, shards.about.shards)
    for index, (sealed, leaf) in enumerate(zip(shards.sealed, leaves, strict=True)):
        yield sealing.open_shard(sealing.shard_key(secret, shards.about.salt, index), sealed, leaf)


def overlaps(parts: Sequence[bytes]) -> int:
    """How many inputs occur more than once over all shards: 0 in data that can be scored honestly."""
    seen: set[bytes] = set()
    repeated = 0
    for part in parts:
        for row in row_bytes({"x": read_rows([part])["x"]}):
            digest = sha256(row).digest()
            repeated += digest in seen
            seen.add(digest)
    return repeated


def fingerprint(files: Sequence[bytes]) -> str:
    return sha256(b"".join(sha256(file).digest() for file in files)).hexdigest()


def padded_size(longest: int) -> int:
    """The common size of shards whose longest file has `longest` bytes, rounded up."""
    needed = longest + len(sealing.pad_shard(b"", 8))
    return -(-needed // SHARD_UNIT) * SHARD_UNIT


def _distinct_rows(inputs: Sequence[bytes], drop: bool) -> list[int]:
    """Indices of the rows to keep: the first of each input."""
    first: dict[bytes, int] = {}
    for row, values in enumerate(inputs):
        first.setdefault(sha256(values).digest(), row)
    if len(first) < len(inputs) and not drop:
        raise BadInput(
            f"{len(inputs) - len(first)} of {len(inputs)} rows repeat the x of another",
            hint="a held-out row must not be in a training shard: remove them, or add --drop-duplicates",
            code="duplicate_rows",
        )
    return sorted(first.values())
