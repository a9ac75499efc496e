"""What a requester's daemon works with."""

from collections.abc import Callable
from dataclasses import dataclass

from heldout.market.artifacts import Stores, artifact_id
from heldout.market.chain import Chain
from heldout.market.chain.sender import Outbox
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.mail import Mail


@dataclass(frozen=True)
class Tools:
    """One requester's side of one market."""

    chain: Chain
    keys: KeyRing
    stores: Stores
    mail: Mail
    outbox: Outbox
    journal: Journal


def getter(stores: Stores) -> Callable[[bytes, int], bytes]:
    """Artifacts by their hash, checked, for the modules that need no store."""
    return lambda digest, limit: stores.get(artifact_id(digest), limit)
