"""A job's terms, exactly as the contract knows them, and their EIP-712 hash: the job's id (P2.1)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, NewType

from Crypto.Hash import keccak

from heldout.market.errors import BadInput, BadMessage
from heldout.market.money import BasisPoints, Ppm, Wei, escrow

JobId = NewType("JobId", str)
"""0x and 64 lower-case hex digits."""
Address = NewType("Address", str)
"""0x and 40 hex digits, checksummed when shown."""
BlockNumber = NewType("BlockNumber", int)
Timestamp = NewType("Timestamp", int)
"""Unix seconds of a block: deadlines are in block time, never this machine's clock."""

METRICS = {
    "accuracy": 1,
    "balanced_accuracy": 2,
    "f1_macro": 3,
    "auc": 4,
    "rmse": 5,
    "mae": 6,
    "log_loss": 7,
    "perplexity": 8,
}
"""Ids of the metrics in `JobTerms.metric`."""
LOWER_IS_BETTER = frozenset({"rmse", "mae", "log_loss", "perplexity"})


def keccak256(data: bytes) -> bytes:
    """Ethereum's Keccak-256 (not SHA3-256), 32 bytes."""
    digest: bytes = keccak.new(digest_bits=256, data=data).digest()
    return digest


def capitals(digits: str) -> str:
    """The 40 lower-case digits of an address with the capitals of EIP-55."""
    mask = keccak256(digits.encode()).hex()
    return "".join(c.upper() if int(m, 16) > 7 else c for c, m in zip(digits, mask, strict=False))


def is_address(text: str) -> bool:
    """0x and 40 digits in one case, or in the capitals of EIP-55: what every reader takes for the same address."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text, re.ASCII):
        return False
    digits = text[2:]
    return digits in (digits.lower(), digits.upper(), capitals(digits.lower()))


def scorer_id(name: str) -> bytes:
    """`JobTerms.scorer` of a scorer such as `score-v1` (P9.3)."""
    return keccak256(name.encode())


@dataclass(frozen=True)
class Parent:
    """An artifact the job builds on (P7.3)."""

    artifact: bytes
    payee: Address
    bps: BasisPoints


@dataclass(frozen=True)
class JobTerms:
    """Field for field the contract's struct, in its order. Units as in IMarketBase.sol."""

    requester: Address
    wrapKey: bytes
    lanes: int
    priceCap: Wei
    floor: Ppm
    target: Ppm
    floorPay: Ppm
    metric: int
    scorer: bytes
    operationCap: int
    shardBytes: int
    weightsBytes: int
    taskHash: bytes
    dataRoot: bytes
    shards: int
    heldOut: int
    committee: int
    fee: Wei
    bond: Wei
    collateral: Wei
    bidWindow: int
    workWindow: int
    releaseWindow: int
    commitWindow: int
    revealWindow: int
    challengeWindow: int
    salt: bytes
    parents: tuple[Parent, ...] = ()

    @property
    def escrow(self) -> Wei:
        return escrow(self.lanes, self.priceCap, self.committee, self.fee, self.bond)

    @property
    def lower_is_better(self) -> bool:
        return self.target < self.floor

    @property
    def metric_name(self) -> str:
        """By number for one that these tools do not know: the contract takes any."""
        return next((name for name, id_ in METRICS.items() if id_ == self.metric), f"metric {self.metric}")

    def as_tuple(self) -> tuple[Any, ...]:
        """The argument that calls encode: parents as a list of tuples."""
        values = [getattr(self, f.name) for f in fields(self)]
        values[-1] = [(p.artifact, p.payee, p.bps) for p in self.parents]
        return tuple(values)

    @staticmethod
    def from_values(values: dict[str, Any]) -> "JobTerms":
        """From a decoded ABI struct (a mapping by field name), as in the `Posted` event."""
        parents = tuple(Parent(bytes(p["artifact"]), p["payee"], p["bps"]) for p in values["parents"])
        plain: dict[str, Any] = {}
        for name in (f.name for f in fields(JobTerms) if f.name != "parents"):
            value = values[name]
            plain[name] = bytes(value) if isinstance(value, bytes) else value
        return JobTerms(**plain, parents=parents)

    def as_json(self) -> dict[str, Any]:
        """For letters: bytes in hex, and what a JSON number may not hold exactly (uint64, uint96) as decimal text."""
        shown = {name: _shown(kind, getattr(self, name)) for name, kind in _SOLIDITY.items()}
        parents = [{"artifact": "0x" + p.artifact.hex(), "payee": p.payee, "bps": p.bps} for p in self.parents]
        return shown | {"parents": parents}

    @staticmethod
    def from_json(raw: Any) -> "JobTerms":
        """The inverse of `as_json`. Raises BadMessage for anything that it would not have made, or the contract's
        struct could not hold. Whether a market would take such terms is for that market to say."""
        try:
            plain = {name: _read(kind, raw[name]) for name, kind in _SOLIDITY.items()}
            parents = tuple(
                Parent(**{name: _read(kind, p[name]) for name, kind in _PARENT.items()}) for p in raw["parents"]
            )
            terms = JobTerms(**plain, parents=parents)
            whole = terms.as_json() == raw
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise BadMessage("these are no terms of a job", hint="ignore them; who wrote them may run other software")
        return terms


# ----------------------------------------------------------------------------------------------- EIP-712

_SOLIDITY = {
    "requester": "address",
    "wrapKey": "bytes32",
    "lanes": "uint8",
    "priceCap": "uint96",
    "floor": "uint32",
    "target": "uint32",
    "floorPay": "uint32",
    "metric": "uint16",
    "scorer": "bytes32",
    "operationCap": "uint64",
    "shardBytes": "uint32",
    "weightsBytes": "uint64",
    "taskHash": "bytes32",
    "dataRoot": "bytes32",
    "shards": "uint8",
    "heldOut": "uint8",
    "committee": "uint8",
    "fee": "uint96",
    "bond": "uint96",
    "collateral": "uint96",
    "bidWindow": "uint32",
    "workWindow": "uint32",
    "releaseWindow": "uint32",
    "commitWindow": "uint32",
    "revealWindow": "uint32",
    "challengeWindow": "uint32",
    "salt": "bytes32",
}
_PARENT = {"artifact": "bytes32", "payee": "address", "bps": "uint16"}
_PARENT_TYPE = b"Parent(" + ",".join(f"{t} {n}" for n, t in _PARENT.items()).encode() + b")"
_TERMS_TYPE = (
    b"JobTerms(" + ",".join(f"{t} {n}" for n, t in _SOLIDITY.items()).encode() + b",Parent[] parents)" + _PARENT_TYPE
)
_AS_TEXT = frozenset({"uint64", "uint96"})
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def _shown(kind: str, value: Any) -> Any:
    if kind == "bytes32":
        return "0x" + value.hex()
    return str(value) if kind in _AS_TEXT else value


def _read(kind: str, value: Any) -> Any:
    """Raises ValueError or TypeError for what is no JSON of that Solidity type."""
    if kind == "bytes32":
        return bytes.fromhex(_matching(r"0x[0-9a-f]{64}", value)[2:])
    if kind == "address":
        if not is_address(value):
            raise ValueError(f"no address: {value!r:.80}")
        return Address(value)
    number = int(_matching(r"0|[1-9][0-9]{0,28}", value)) if kind in _AS_TEXT else value
    if type(number) is not int or not 0 <= number < 1 << int(kind.removeprefix("uint")):
        raise ValueError(f"no {kind}: {value!r:.80}")
    return number


def _matching(pattern: str, text: Any) -> str:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(f"not {pattern}: {text!r:.80}")
    return str(text)


def word(value: int | str | bytes) -> bytes:
    """One 32-byte ABI word: unsigned integers and 0x-addresses right-aligned, bytes32 as they are."""
    if isinstance(value, bytes):
        if len(value) != 32:
            raise ValueError("bytes32 must have 32 bytes")
        return value
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32, "big")


def words(values: Iterable[int | str | bytes]) -> bytes:
    return b"".join(word(value) for value in values)


def domain_separator(chain_id: int, market: str) -> bytes:
    """EIP-712 domain `Heldout`, version `1`."""
    names = (keccak256(_DOMAIN_TYPE), keccak256(b"Heldout"), keccak256(b"1"))
    return keccak256(words((*names, chain_id, market)))


def typed_digest(chain_id: int, market: str, struct_hash: bytes) -> bytes:
    """What is signed, and for terms what the job is called: keccak256(0x1901 ‖ domain ‖ struct)."""
    return keccak256(b"\x19\x01" + domain_separator(chain_id, market) + struct_hash)


def read_job_id(text: str) -> JobId:
    """An id that a person wrote. Raises BadInput unless it is whole: 0x and 64 hexadecimal digits."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        hint = "an id is 0x and 64 digits: copy it from `heldout job list`"
        raise BadInput(f"{text!r} is not the id of a job", hint=hint, code="bad_job_id")
    return JobId(text.lower())


def job_id(terms: JobTerms, chain_id: int, market: str) -> JobId:
    """P2.1: a job is named by everything it promises, on one chain and one market."""
    parents = keccak256(
        b"".join(keccak256(words((keccak256(_PARENT_TYPE), p.artifact, p.payee, p.bps))) for p in terms.parents)
    )
    struct = keccak256(words((keccak256(_TERMS_TYPE), *(getattr(terms, name) for name in _SOLIDITY), parents)))
    return JobId("0x" + typed_digest(chain_id, market, struct).hex())
