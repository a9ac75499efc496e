"""A whole market on one machine, for trying things out and for the tests. `Devnet` is imported on use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heldout.devnet.devnet import Devnet

__all__ = ["Devnet"]


def __getattr__(name: str) -> Any:
    if name != "Devnet":
        raise AttributeError(name)
    from heldout.devnet.devnet import Devnet

    return Devnet
