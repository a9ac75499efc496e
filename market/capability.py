"""What a provider's machine did, how fast it says it was, and its signature under that (docs/capability.md). Pure.

The work is drawn from a seed of the provider's address and a block's hash, so nobody can have done it before that
block, and nobody can show the work of another. Results are hashes that anybody recomputes; times are the signer's word.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final

from heldout.market.errors import BadMessage
from heldout.market.jsontext import canonical_json, read_json
from heldout.market.signatures import Signer, checksummed, personal_digest, recover, sign_text
from heldout.market.terms import Address

VERSION: Final = 1
MAX_BYTES: Final = 1 << 16
CREDIT_OPERATIONS: Final = 432 * 10**9
"""One credit, after BOINC's Cobblestone: 1/200 of what a machine of 1 GFLOP/s does in a day."""
_DAY_S = 86_400
_CONTEXT = b"heldout/capability/v1"
_KINDS = {"multiply": 0, "add": 12, "copy": 8}
"""Bytes moved for each number of a vector."""


@dataclass(frozen=True)
class Work:
    """`repeats` runs took `nanoseconds`: products of two matrices of `size` rows, or passes over vectors of `size`."""

    kind: str
    size: int
    repeats: int
    nanoseconds: int
    sha256: str

    @property
    def rate(self) -> float:
        """GFLOP/s of a product, multiplications and additions both counted; GB/s of a pass."""
        each = 2 * self.size**3 if self.kind == "multiply" else _KINDS[self.kind] * self.size
        return each * self.repeats / self.nanoseconds


@dataclass(frozen=True)
class Device:
    """`device` is the name that settings use, `name` the driver's."""

    device: str
    name: str
    work: tuple[Work, ...]

    def best(self, kind: str) -> float:
        """The highest rate of this kind, 0 if there is none."""
        return max((work.rate for work in self.work if work.kind == kind), default=0.0)

    @property
    def credits_per_day(self) -> float:
        return self.best("multiply") * 10**9 * _DAY_S / CREDIT_OPERATIONS


@dataclass(frozen=True)
class Capability:
    """One machine on one day."""

    provider: Address
    chain_id: int
    block: int
    block_hash: str
    """64 hex digits: the newest block when the work began."""
    date: int
    """Unix seconds when it was signed."""
    platform: str
    """As in a manifest's `image`: `linux/amd64`."""
    devices: tuple[Device, ...]

    @property
    def seed(self) -> bytes:
        """32 bytes that all the work is drawn from."""
        return capability_seed(self.provider, self.chain_id, self.block_hash)

    def sign(self, signer: Signer) -> bytes:
        """The file: canonical JSON with the provider's signature."""
        return self._with(sign_text(signer, self._signed_text()))

    @staticmethod
    def read(data: bytes) -> "Capability":
        """Raises BadMessage unless this is a file that `sign` made with the key of the provider it names."""
        try:
            raw: dict[str, Any] = read_json(data[: MAX_BYTES + 1])
            signature = bytes.fromhex(raw["signature"].removeprefix("0x"))
            found = _read(raw)
            whole = len(data) <= MAX_BYTES and found._with(raw["signature"]) == bytes(data)
        except (ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise BadMessage("this is not a capability file", hint="heldout provider doctor --prove FILE writes one")
        if recover(personal_digest(found._signed_text()), signature) != found.provider:
            raise BadMessage("the signature is not the provider's", code="bad_signature")
        return found

    def _with(self, signature: str) -> bytes:
        return canonical_json({**self._body(), "signature": signature})

    def _body(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self)}

    def _signed_text(self) -> str:
        """What the provider signs (EIP-191)."""
        return f"heldout capability of {self.provider}\n{sha256(canonical_json(self._body())).hexdigest()}"


def capability_seed(provider: Address, chain_id: int, block_hash: str) -> bytes:
    """SHA-256 of the context, the provider's 20 bytes, the chain's id in 8 and the block's hash."""
    address, block = bytes.fromhex(provider.removeprefix("0x")), bytes.fromhex(block_hash)
    return sha256(_CONTEXT + address + chain_id.to_bytes(8, "big") + block).digest()


def devices_of(measured: Iterable[dict[str, Any]]) -> tuple[Device, ...]:
    """Devices as `heldout.kernels` tells them. Raises ValueError, KeyError or TypeError for anything else."""
    return tuple(
        Device(_text(raw["device"]), _text(raw["name"]), tuple(_work(**work) for work in raw["work"]))
        for raw in measured
    )


def _read(raw: dict[str, Any]) -> Capability:
    if raw.get("version") != VERSION or len(bytes.fromhex(raw["block_hash"])) != 32:
        raise ValueError("another version")
    return Capability(
        provider=checksummed(raw["provider"]),
        chain_id=_natural(raw["chain_id"]),
        block=_natural(raw["block"]),
        block_hash=raw["block_hash"],
        date=_natural(raw["date"]),
        platform=_text(raw["platform"]),
        devices=devices_of(raw["devices"]),
    )


def _work(kind: str, size: int, repeats: int, nanoseconds: int, sha256: str) -> Work:
    if kind not in _KINDS or len(bytes.fromhex(sha256)) != 32 or not _natural(repeats) or not _natural(nanoseconds):
        raise ValueError("no work that is known here")
    return Work(kind, _natural(size), repeats, nanoseconds, sha256)


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a number of the range")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError("not a short text")
    return value
