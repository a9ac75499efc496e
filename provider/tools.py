"""What a provider works with: everything outside itself, built by the entry point and passed down."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from heldout.market.artifacts import ArtifactStore
from heldout.market.chain import Chain
from heldout.market.chain.sender import Outbox
from heldout.market.failpoint import Reach, unarmed
from heldout.market.journal import Journal
from heldout.market.mail import Mail
from heldout.market.terms import JobId
from heldout.provider.chores import Chores
from heldout.provider.config import Config
from heldout.provider.deliveries import Deliveries
from heldout.provider.materials import Materials
from heldout.provider.record import Records
from heldout.provider.requesters import Requesters
from heldout.provider.senses import Senses
from heldout.provider.training import Training


@dataclass(frozen=True)
class Tools:
    """For one node and one thread."""

    chain: Chain
    outbox: Outbox
    mail: Mail
    stores: ArtifactStore
    journal: Journal
    records: Records
    requesters: Requesters
    materials: Materials
    deliveries: Deliveries
    training: Training
    chores: Chores
    config: Config
    senses: Senses
    tiers: Callable[[], frozenset[str]]
    """What the sandbox was seen to hold. Raises SandboxProblem."""
    platform: str
    """This machine's, as in a manifest's `image`."""
    registry: CollectorRegistry
    reach: Reach = unarmed
    clock: Callable[[], float] = time.time
    """This machine's, for the sandbox only: a deadline in block time becomes seconds from now."""


def job_bytes(job: JobId) -> bytes:
    """A job's id as the contract and all hashes take it."""
    return bytes.fromhex(job[2:])
