"""Heldout: a market where you pay for a model only if it works on data nobody could have trained on."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heldout.requester_cli.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    """`heldout.Client` without its imports being paid by every `heldout --help`."""
    if name == "Client":
        from heldout.requester_cli.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
