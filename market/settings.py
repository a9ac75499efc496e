"""The network file: what a node must know, and check, about the chain it lives on. Only parsing; no disk."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from heldout.market.errors import BadInput

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
    confirmations: int = 2
    images: dict[str, str] = field(default_factory=dict)
    """Job image ids that this network's devnet built, by platform ("linux/amd64"): a default for templates."""

    @property
    def is_devnet(self) -> bool:
        return self.chain_id == DEVNET_CHAIN_ID

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> "Network":
        """Raises BadInput naming the first missing or unknown key."""
        hint = "write it with `heldout devnet up`, or ask the network's operator for its file"
        try:
            raw: dict[str, Any] = json.loads(text)
            return Network(**{**raw, "rpc": tuple(raw["rpc"]), "stores": tuple(raw["stores"])})
        except KeyError as missing:
            raise BadInput(f"network file lacks {missing}", hint=hint, code="bad_network_file") from None
        except (ValueError, TypeError) as problem:
            raise BadInput(f"network file cannot be read: {problem}", hint=hint, code="bad_network_file") from None
