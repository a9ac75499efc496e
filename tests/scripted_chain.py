"""A chain that a test writes block by block and takes back, for whatever follows events (market/service/indexer.py)."""

from dataclasses import replace

from heldout.market.chain.logs import Cursor, Followed
from heldout.market.lifecycle import ChainEvent
from heldout.market.messages import hexed
from heldout.market.service.indexer import Index
from heldout.market.terms import BlockNumber
from tests.builders import PROVIDERS, EventLog, digest

COLD = PROVIDERS[7]


class ScriptedChain:
    """Blocks of events that a test writes and takes back. Follows as heldout.market.chain does, page by page."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, list[ChainEvent]]] = []
        self.branch = 0

    def add(self, *events: ChainEvent) -> None:
        number = len(self.blocks)
        hash_ = hexed(digest(f"{self.branch}/{number}"))
        placed = [
            replace(event, block=BlockNumber(number), block_hash=hash_, log_index=index)
            for index, event in enumerate(events)
        ]
        self.blocks.append((hash_, placed))

    def take_back(self, depth: int) -> list[ChainEvent]:
        """Drop the newest blocks; what is added next is another branch."""
        self.branch += 1
        gone = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        return [event for _, events in gone for event in events]

    def start(self) -> Cursor:
        return Cursor(((BlockNumber(-1), "before"),))

    def follow(self, cursor: Cursor, *, most: int, registry: bool = False) -> Followed:
        kept = [point for point in cursor.checkpoints if point[0] == -1 or self._hash(point[0]) == point[1]]
        first, last = kept[-1][0] + 1, min(len(self.blocks), kept[-1][0] + 1 + most) - 1
        events = [event for _, found in self.blocks[first : last + 1] for event in found]
        if last >= first:
            kept.append((BlockNumber(last), self.blocks[last][0]))
        turned = len([point for point in cursor.checkpoints if point not in kept]) > 0
        return Followed(events, Cursor(tuple(kept)), BlockNumber(first - 1) if turned else None)

    def _hash(self, number: int) -> str | None:
        return self.blocks[number][0] if number < len(self.blocks) else None


def caught_up(index: Index) -> None:
    while not index.step().caught_up:
        pass


def seat_log() -> list[ChainEvent]:
    """A seat that is staked, rotated, slashed, leaves, and whose index is used again."""
    log = EventLog()
    log("Staked", seat=4, cold=COLD, hot=PROVIDERS[0], wrapKey=digest("old"))
    log("Rotated", seat=4, hot=PROVIDERS[1], wrapKey=digest("new"))
    log("Slashed", seat=4, round=1, amount=7)
    log("Slashed", seat=4, round=2, amount=5)
    log("Exiting", seat=4, withdrawableAt=900)
    log("Unstaked", seat=4, cold=COLD, amount=1)
    log("Staked", seat=4, cold=COLD, hot=PROVIDERS[2], wrapKey=digest("again"))
    return log.events
