"""Sealing shards and weights, and wrapping keys (P2.4, P4.2, P4.4).

Everything here is AES-256-GCM (NIST SP 800-38D), X25519 (RFC 7748), HKDF-SHA256 (RFC 5869) and SHA-256: what a
browser's WebCrypto has too. Each symmetric key seals exactly one plaintext, so the nonce is zero.

    shard plaintext   8-byte little-endian length ‖ file ‖ zeros, `shard_bytes` in all
    leaf              SHA-256(sealed) ‖ SHA-256(key ‖ plaintext)                                   64 bytes
    data root         SHA-256(leaf 0 ‖ leaf 1 ‖ …): also the artifact id of the list of leaves
    envelope          ephemeral public key ‖ ciphertext; the ephemeral key is derived from a 32-byte seed
    weights key       SHA-256(a ‖ b), associated data: job id ‖ provider
    checkpoint        under a key that only its provider can derive, for itself alone
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest as hmac_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from heldout.market.errors import BadEnvelope

_NONCE = bytes(12)
_SHARD_CONTEXT = b"heldout/shard/v1"
_LENGTH = 8
LEAF_BYTES = 64
SEAL_OVERHEAD = 16
"""Bytes a seal adds: the GCM tag."""


def derive(secret: bytes, label: str, *parts: bytes) -> bytes:
    """A 32-byte secret for one purpose. Parts are length-prefixed, so no two lists of parts collide."""
    message = label.encode() + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac_digest(secret, message, "sha256")


def _seal(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    return AESGCM(key).encrypt(_NONCE, plaintext, context)


def _open(key: bytes, sealed: bytes, context: bytes, what: str) -> bytes:
    try:
        return AESGCM(key).decrypt(_NONCE, sealed, context)
    except (InvalidTag, ValueError):  # ValueError: a key that a stranger cut to no key's length
        raise BadEnvelope(f"{what} does not open with this key") from None


# -------------------------------------------------------------------------------------------------- shards


@dataclass(frozen=True)
class Leaf:
    """One shard's entry in the data root."""

    sealed_hash: bytes
    key_hash: bytes
    """SHA-256(key ‖ plaintext): proves a row was fixed before the job was posted without making it recognisable."""

    def encode(self) -> bytes:
        return self.sealed_hash + self.key_hash


def shard_key(data_secret: bytes, data_salt: bytes, index: int) -> bytes:
    """The key of one shard: derivable again from the requester's secret, so a backup of that secret is enough."""
    return derive(data_secret, "heldout/shard-key/v1", data_salt, index.to_bytes(4, "big"))


def order_key(data_secret: bytes, data_salt: bytes) -> bytes:
    """What the rows' order follows from, and the seeds of the envelopes that release the shard keys."""
    return derive(data_secret, "heldout/row-order/v1", data_salt)


def pad_shard(data: bytes, shard_bytes: int) -> bytes:
    """Plaintext of a shard at the one size all shards share. Raises ValueError if it does not fit."""
    if len(data) + _LENGTH > shard_bytes:
        raise ValueError(f"a shard of {len(data)} bytes does not fit in {shard_bytes - _LENGTH}")
    return (len(data).to_bytes(_LENGTH, "little") + data).ljust(shard_bytes, b"\0")


def unpad_shard(plaintext: bytes) -> bytes:
    """The file inside a shard's plaintext. Raises BadEnvelope if length or padding are not `pad_shard`'s."""
    length = int.from_bytes(plaintext[:_LENGTH], "little")
    end = _LENGTH + length
    if end > len(plaintext) or plaintext[end:].strip(b"\0"):
        raise BadEnvelope("a shard's length or padding is wrong")
    return plaintext[_LENGTH:end]


def seal_shard(key: bytes, plaintext: bytes) -> tuple[bytes, Leaf]:
    """A padded shard sealed under its own key, and its leaf."""
    sealed = _seal(key, plaintext, _SHARD_CONTEXT)
    return sealed, Leaf(sha256(sealed).digest(), sha256(key + plaintext).digest())


def open_shard(key: bytes, sealed: bytes, leaf: Leaf) -> bytes:
    """The file in a sealed shard, checked against its leaf. Raises BadEnvelope."""
    if sha256(sealed).digest() != leaf.sealed_hash:
        raise BadEnvelope("a sealed shard is not the one in the data root")
    plaintext = _open(key, sealed, _SHARD_CONTEXT, "a shard")
    if sha256(key + plaintext).digest() != leaf.key_hash:
        raise BadEnvelope("a shard's plaintext is not the one in the data root")
    return unpad_shard(plaintext)


def encode_leaves(leaves: Sequence[Leaf]) -> bytes:
    """The flat list whose SHA-256 is the data root."""
    return b"".join(leaf.encode() for leaf in leaves)


def decode_leaves(data: bytes, shards: int) -> tuple[Leaf, ...]:
    """Raises BadEnvelope if the list is not exactly `shards` leaves long."""
    if len(data) != shards * LEAF_BYTES:
        raise BadEnvelope(f"a list of {shards} leaves has {shards * LEAF_BYTES} bytes, not {len(data)}")
    starts = range(0, len(data), LEAF_BYTES)
    return tuple(Leaf(data[i : i + 32], data[i + 32 : i + LEAF_BYTES]) for i in starts)


# ----------------------------------------------------------------------------------------------- envelopes


def wrap_public_key(private: bytes) -> bytes:
    """The 32-byte X25519 public key others wrap to."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def envelope_context(job: bytes, kind: str, sender: str, receiver: str) -> bytes:
    """Associated data of an envelope: who sends what to whom in which job, so a copy is worth nothing elsewhere."""
    return b"\0".join((b"heldout/envelope/v1", job, kind.encode(), sender.lower().encode(), receiver.lower().encode()))


def _envelope_key(shared: bytes, ephemeral: bytes, receiver: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=ephemeral + receiver, info=b"heldout/envelope/key").derive(shared)


def make_envelope(seed: bytes, receiver_key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Wrap `plaintext` to an X25519 public key. The same seed makes the same envelope, so whoever is later shown the
    seed can check what was sent without anybody's private key (P4.2). Raises BadEnvelope for a low-order public key."""
    ephemeral, key = _sender_keys(seed, receiver_key)
    return ephemeral + _seal(key, plaintext, context)


def reopen_envelope(seed: bytes, receiver_key: bytes, envelope: bytes, context: bytes) -> bytes:
    """What the receiver finds in an envelope, for whoever was shown its seed (P4.2). Raises BadEnvelope if that is not
    the one it was made with, or if the receiver cannot open it either."""
    ephemeral, key = _sender_keys(seed, receiver_key)
    if envelope[:32] != ephemeral:
        raise BadEnvelope("the envelope was not made with this seed")
    return _open(key, envelope[32:], context, "an envelope")


def _sender_keys(seed: bytes, receiver_key: bytes) -> tuple[bytes, bytes]:
    """The ephemeral public key of a seed, and the key it seals with for a receiver."""
    private = X25519PrivateKey.from_private_bytes(derive(seed, "heldout/envelope/ephemeral"))
    ephemeral = private.public_key().public_bytes_raw()
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(receiver_key))
    except ValueError:
        raise BadEnvelope("the receiver's wrapping key is not a usable X25519 key") from None
    return ephemeral, _envelope_key(shared, ephemeral, receiver_key)


def open_envelope(private_key: bytes, envelope: bytes, context: bytes) -> bytes:
    """Raises BadEnvelope if it was not made for this key and context."""
    private = X25519PrivateKey.from_private_bytes(private_key)
    ephemeral = envelope[:32]
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    except ValueError:
        raise BadEnvelope("not an envelope") from None
    key = _envelope_key(shared, ephemeral, private.public_key().public_bytes_raw())
    return _open(key, envelope[32:], context, "an envelope")


# ------------------------------------------------------------------------------------------------- weights


def weights_key(half_a: bytes, half_b: bytes) -> bytes:
    """P4.4: either half alone says nothing about the key."""
    return sha256(half_a + half_b).digest()


def _weights_context(job: bytes, provider: str) -> bytes:
    return b"heldout/weights/v1" + job + bytes.fromhex(provider[2:])


def seal_weights(half_a: bytes, half_b: bytes, weights: bytes, job: bytes, provider: str) -> bytes:
    """Bound to job and provider: another's copy of these bytes opens nowhere."""
    return _seal(weights_key(half_a, half_b), weights, _weights_context(job, provider))


def open_weights(half_a: bytes, half_b: bytes, sealed: bytes, job: bytes, provider: str) -> bytes:
    """Raises BadEnvelope."""
    return _open(weights_key(half_a, half_b), sealed, _weights_context(job, provider), "a weights file")


# --------------------------------------------------------------------------------------------- checkpoints


def _checkpoint_context(job: bytes, provider: str) -> bytes:
    return b"heldout/checkpoint/v1" + job + bytes.fromhex(provider[2:])


def seal_checkpoint(key: bytes, archive: bytes, job: bytes, provider: str) -> bytes:
    """A training's state on its way out of its provider's machine; `key` is of this archive alone."""
    return _seal(key, archive, _checkpoint_context(job, provider))


def open_checkpoint(key: bytes, sealed: bytes, job: bytes, provider: str) -> bytes:
    """Raises BadEnvelope."""
    return _open(key, sealed, _checkpoint_context(job, provider), "a checkpoint")
