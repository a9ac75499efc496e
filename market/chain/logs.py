"""Events of one contract: pages that split when the RPC refuses, and a cursor that notices when the chain turned back.

A cursor holds checkpoints, one (block, hash) for every head it has followed to:

    checkpoints   ●────●────●────●          the newest one that is still canonical is the common ancestor;
    chain         ●────●────┬────x          what was told of later blocks is void (`rolled_back`)
                            └────○────○     and the new branch is read from there
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol

from heldout.market.chain.contracts import Contract
from heldout.market.chain.rpc import AnswerTooLarge, Rpc, RpcError
from heldout.market.chain.views import Block
from heldout.market.errors import BadInput, BlockMissing, ChainProblem
from heldout.market.lifecycle import ChainEvent
from heldout.market.terms import BlockNumber, JobId, Timestamp

PAGE = 5_000
"""Blocks asked for at once; halved wherever the RPC refuses."""
CHECKPOINTS = 128

Topics = list[str | list[str] | None]


@dataclass(frozen=True)
class Cursor:
    """How far the events were followed. `checkpoints` ascend; the last one is where to go on."""

    checkpoints: tuple[tuple[BlockNumber, str], ...]

    @property
    def block(self) -> BlockNumber:
        return self.checkpoints[-1][0]

    def advanced(self, head: Block) -> "Cursor":
        return Cursor((*self.checkpoints, (head.number, head.hash))[-CHECKPOINTS:])

    def to_json(self) -> str:
        return json.dumps(self.checkpoints)

    @staticmethod
    def from_json(text: str) -> "Cursor":
        try:
            return Cursor(tuple((BlockNumber(int(number)), str(hash_)) for number, hash_ in json.loads(text)))
        except (ValueError, TypeError):
            raise BadInput("a stored cursor cannot be read", hint="rebuild the index") from None


class Followed(NamedTuple):
    """One step of following. Undo everything after block `rolled_back` (None: nothing), then apply `events`."""

    events: list[ChainEvent]
    cursor: Cursor
    rolled_back: BlockNumber | None


def read_block(rpc: Rpc, tag: str | int) -> Block | None:
    """A block by number or tag; None if the node does not have it."""
    raw = rpc.call("eth_getBlockByNumber", tag if isinstance(tag, str) else hex(tag), False)
    return Block.from_rpc(raw) if raw else None


class Batching(Protocol):
    """All endpoints in their order (Rpc), or one of them (Endpoint)."""

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]], /) -> list[Any]: ...


def read_logs(rpc: Batching, address: str, topics: Topics, first: int, last: int) -> list[dict[str, Any]]:
    """Raw logs of blocks first to last, both included, in order.

    Each page comes in one request with its last block, so that a node that lags cannot pass for one without events.
    Raises ChainProblem.
    """
    pages = [(start, min(start + PAGE - 1, last)) for start in range(first, last + 1, PAGE)][::-1]
    logs: list[dict[str, Any]] = []
    while pages:
        start, end = pages.pop()
        query = {"address": address, "topics": topics, "fromBlock": hex(start), "toBlock": hex(end)}
        try:
            page, block = rpc.batch([("eth_getLogs", [query]), ("eth_getBlockByNumber", [hex(end), False])])
        except (RpcError, AnswerTooLarge):
            if start == end:
                raise
            middle = (start + end) // 2
            pages += [(middle + 1, end), (start, middle)]
            continue
        if block is None:
            raise BlockMissing(f"the RPC does not have block {end}", hint="it lags behind; try again")
        logs += [log for log in page if not log.get("removed")]
    return logs


def decode_logs(rpc: Batching, contract: Contract, logs: Sequence[dict[str, Any]]) -> list[ChainEvent]:
    """Logs as events, each with its block's timestamp. Logs the ABI does not know are left out."""
    times = _timestamps(rpc, logs)
    events = []
    for log in logs:
        decoded = contract.decode_log(log)
        if decoded is None:
            continue
        number = BlockNumber(int(log["blockNumber"], 16))
        name, args = decoded
        place = (log["blockHash"], log["transactionHash"], int(log["logIndex"], 16), times[log["blockHash"]])
        events.append(ChainEvent(name, args, number, *place))
    return events


def _timestamps(rpc: Batching, logs: Sequence[dict[str, Any]]) -> dict[str, Timestamp]:
    """Block hash to timestamp: newer nodes put it into the log, the others are asked."""
    times = {log["blockHash"]: log.get("blockTimestamp") for log in logs}
    unknown = [hash_ for hash_, time in times.items() if time is None]
    blocks = rpc.batch([("eth_getBlockByHash", [hash_, False]) for hash_ in unknown])
    for hash_, block in zip(unknown, blocks, strict=True):
        if block is None:
            raise ChainProblem(f"block {hash_} left the chain while it was read", hint="try again")
        times[hash_] = block["timestamp"]
    return {hash_: Timestamp(int(str(time), 16)) for hash_, time in times.items()}


def read_events(
    rpc: Batching, contract: Contract, first: int, last: int, *, job: JobId | None, names: Sequence[str] | None
) -> list[ChainEvent]:
    """Events by name and job (both optional). `Artifact` has its job in the second place, all others in the first."""
    topics = contract.topics(names)
    artifact = set(contract.topics(["Artifact"]))
    queries: list[Topics] = [[topics]]
    if job is not None:
        first_place = [each for each in topics if each not in artifact]
        queries = [[first_place, job]] if first_place else []
        queries += [[sorted(artifact & set(topics)), None, job]] if artifact & set(topics) else []
    logs = [log for query in queries for log in read_logs(rpc, contract.address, query, first, last)]
    logs.sort(key=lambda log: (int(log["blockNumber"], 16), int(log["logIndex"], 16)))
    return decode_logs(rpc, contract, logs)


def common_ancestor(rpc: Rpc, cursor: Cursor) -> Cursor | None:
    """The cursor cut back to its newest checkpoint that is still canonical; None if there is none."""
    for kept in range(len(cursor.checkpoints), 0, -1):
        number, hash_ = cursor.checkpoints[kept - 1]
        block = read_block(rpc, number)
        if block is not None and block.hash == hash_:
            return Cursor(cursor.checkpoints[:kept])
    return None


def follow(
    rpc: Rpc, contracts: Sequence[Contract], start: Callable[[], Cursor], cursor: Cursor, head: Block, most: int
) -> Followed:
    """Events after the cursor, up to `head` and at most `most` blocks. `start()` is where a rescan begins."""
    kept = common_ancestor(rpc, cursor) or start()
    rolled_back = kept.block if kept != cursor else None
    last = min(head.number, kept.block + most)
    if last <= kept.block:
        return Followed([], kept, rolled_back)
    end = head if last == head.number else read_block(rpc, last)
    if end is None:
        raise BlockMissing(f"the RPC does not have block {last}", hint="it lags behind; try again")
    told = [read_events(rpc, contract, kept.block + 1, last, job=None, names=None) for contract in contracts]
    events = sorted(chain.from_iterable(told), key=lambda event: (event.block, event.log_index))
    still = read_block(rpc, last)
    if still is None or still.hash != end.hash or any(e.block == last and e.block_hash != end.hash for e in events):
        raise ChainProblem(f"block {last} changed while it was read", hint="try again")
    return Followed(events, kept.advanced(end), rolled_back)
