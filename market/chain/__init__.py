"""The chain as all parties use it: `connect` gives typed reads, `Outbox` sends what a journal remembers."""

from heldout.market.chain.contracts import Contract, checksum
from heldout.market.chain.logs import Cursor
from heldout.market.chain.reader import Chain, connect
from heldout.market.chain.rpc import RpcError
from heldout.market.chain.views import Block, JobView, LaneView, Limits, Parameters, RoundView, SeatView, Window

__all__ = [
    "Block",
    "Chain",
    "Contract",
    "Cursor",
    "JobView",
    "LaneView",
    "Limits",
    "Parameters",
    "RoundView",
    "RpcError",
    "SeatView",
    "Window",
    "checksum",
    "connect",
]
