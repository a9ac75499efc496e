"""The chain as all parties use it: `connect` gives typed reads, `Outbox` sends what a journal remembers."""

from heldout.market.chain.contracts import Contract
from heldout.market.chain.fees import FeePolicy, Urgency
from heldout.market.chain.logs import Cursor, Followed
from heldout.market.chain.reader import Chain, connect
from heldout.market.chain.rpc import RpcError
from heldout.market.chain.sender import Outbox
from heldout.market.chain.sending import Pending, Receipt
from heldout.market.chain.views import Block, JobView, LaneView, Limits, Parameters, RoundView, SeatView, Window
from heldout.market.signatures import checksummed as checksum

__all__ = [
    "Block",
    "Chain",
    "Contract",
    "Cursor",
    "FeePolicy",
    "Followed",
    "JobView",
    "LaneView",
    "Limits",
    "Outbox",
    "Parameters",
    "Pending",
    "Receipt",
    "RoundView",
    "RpcError",
    "SeatView",
    "Urgency",
    "Window",
    "checksum",
    "connect",
]
