"""Named places at which a test may have a node killed, as if the power went: for proving that it resumes (P11)."""

import os
import signal
from collections.abc import Callable, Mapping

from heldout.market.settings import Network

VARIABLE = "HELDOUT_FAILPOINT"

Reach = Callable[[str], None]
"""Called with the name of the place a node has come to."""


def unarmed(_name: str) -> None:
    """No failpoint is set: every place is passed."""


def failpoints(network: Network, environment: Mapping[str, str]) -> Reach:
    """Kills this process with SIGKILL at the place named by HELDOUT_FAILPOINT; a devnet's chain id only."""
    armed = environment.get(VARIABLE)
    if not armed or not network.is_devnet:
        return unarmed

    def reach(name: str) -> None:
        if name == armed:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach
