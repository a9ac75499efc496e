"""The network file: what a node must know, and check, about the chain it lives on. Only parsing; no disk."""

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from heldout.market.errors import BadInput
from heldout.market.jsontext import read_json

DEVNET_CHAIN_ID = 31337


@dataclass(frozen=True)
class Network:
    """One chain, one market, and where its stores and services are.

    `genesis` and `code_hash` (keccak256 of the market's deployed code) are checked at start, so that a wrong address,
    another chain behind the same URL or a restarted devnet is refused before anything is signed.
    """

    name: str
    chain_id: int
    genesis: str
    rpc: tuple[str, ...]
    market: str
    token: str
    deploy_block: int
    code_hash: str
    stores: tuple[str, ...]
    service: str | None = None
    value_chain: str | None = None
    """The registry of what this market's jobs made (P7.2); markets may be older than theirs, or have none."""
    confirmations: int = 2
    images: dict[str, str] = field(default_factory=dict)
    """Job image ids that this network's devnet built, by platform ("linux/amd64"): a default for templates."""

    @property
    def is_devnet(self) -> bool:
        return self.chain_id == DEVNET_CHAIN_ID

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> "Network":
        """Raises BadInput naming the first missing, unknown or ill-typed key."""
        hint = "write it with `heldout devnet up`, or ask the network's operator for its file"
        try:
            raw = read_json(text if isinstance(text, bytes) else text.encode())
        except ValueError as problem:
            raise BadInput(f"network file is not JSON: {problem}", hint=hint, code="bad_network_file") from None
        if wrong := _first_problem(raw):
            raise BadInput(f"network file {wrong}", hint=hint, code="bad_network_file")
        return Network(**{**raw, "rpc": tuple(raw["rpc"]), "stores": tuple(raw["stores"])})


_OTHER_THAN_TEXT: dict[str, type | tuple[type, ...]] = {
    "chain_id": int,
    "deploy_block": int,
    "confirmations": int,
    "rpc": list,
    "stores": list,
    "images": dict,
    "service": (str, type(None)),
    "value_chain": (str, type(None)),
}


def _first_problem(raw: Any) -> str | None:
    if not isinstance(raw, dict):
        return "is not a JSON object"
    known = fields(Network)
    needed = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    if lacking := [name for name in needed if name not in raw]:
        return f"lacks {lacking[0]!r}"
    for name, value in raw.items():
        if name not in {f.name for f in known}:
            return f"has the unknown key {name!r}"
        if not isinstance(value, _OTHER_THAN_TEXT.get(name, str)):
            return f"has a wrong kind of value for {name!r}"
        if isinstance(value, int) and (value < 0 or isinstance(value, bool)):
            return f"has {value} for {name!r}"
    urls = [*raw["rpc"], *raw["stores"], *filter(None, [raw.get("service")])]
    return next((f"names {url!r}, which is no address" for url in urls if not _is_address(url)), None)


def _is_address(url: Any) -> bool:
    """Whether there is a host to ask; which schemes there may be is for those who ask to say."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.hostname.encode("idna") and parts.port != 0)
    except (ValueError, TypeError, AttributeError):
        return False
