"""What the sandbox of this machine was seen to hold: the record that `doctor` writes and the node offers by. Pure, but
for the one file.

A record is good for the machine that it was made on, as that machine was then: another engine, runtime, kernel, profile
or suite voids it, and so does age.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from heldout.market.errors import BadInput, BadMessage
from heldout.market.jsontext import canonical_json
from heldout.market.signatures import Signer, personal_digest, recover, sign_text

FILE_NAME = "sandbox.json"
VERSION = 1
GOOD_FOR_S = 30 * 24 * 3600


@dataclass(frozen=True)
class Shown:
    """`layers`: by tier, those of which every hostile case was tried and held. `machine`: see `machine_hash`."""

    machine: str
    engine: str
    made: int
    """Unix seconds."""
    layers: Mapping[str, tuple[str, ...]]
    address: str = ""
    signature: str = ""

    def offered(self, promises: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """The tiers all of whose promised layers were seen to hold."""
        return frozenset(tier for tier, promised in promises.items() if set(promised) <= set(self.layers.get(tier, ())))

    def is_good(self, machine: str, now: float) -> bool:
        return self.machine == machine and 0 <= now - self.made < GOOD_FOR_S

    def signed_by(self, signer: Signer) -> "Shown":
        """The record for others to read."""
        named = replace(self, address=signer.address, signature="")
        return replace(named, signature=sign_text(signer, named._text()))

    def check(self) -> None:
        """Raises BadMessage unless the node that the record names has signed it."""
        digest = personal_digest(replace(self, signature="")._text())
        if recover(digest, bytes.fromhex(self.signature.removeprefix("0x"))) != self.address:
            raise BadMessage("the record is signed by another key than it names", code="bad_signature")

    def encode(self) -> bytes:
        return canonical_json({"version": VERSION, **asdict(self)})

    def _text(self) -> str:
        return f"Heldout sandbox record\n{self.encode().decode()}"

    @staticmethod
    def decode(data: bytes) -> "Shown":
        """Raises BadMessage."""
        try:
            raw: dict[str, Any] = json.loads(data)
            if raw.pop("version") != VERSION:
                raise ValueError("another version")
            layers = {str(tier): tuple(map(str, held)) for tier, held in raw.pop("layers").items()}
            return Shown(layers=layers, **raw)
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise BadMessage(f"not a sandbox record: {problem}") from None


def machine_hash(*facts: str) -> str:
    """One name for everything that a record depends on."""
    return sha256("\0".join(facts).encode()).hexdigest()


def load(home: Path) -> Shown | None:
    """The record in a node's home, or None. Raises BadInput if it cannot be read."""
    try:
        return Shown.decode((home / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    except BadMessage as problem:
        hint = "remove it, and run `heldout provider doctor`"
        raise BadInput(f"{home / FILE_NAME}: {problem.message}", hint=hint) from None


def keep(home: Path, shown: Shown) -> None:
    (home / FILE_NAME).write_bytes(shown.encode())
