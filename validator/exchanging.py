"""When a seat leaves its commit or its opening to whoever holds those of all seats, and for how long (P6.1). Pure.

    ├─ measured, or commits deep: mine go out ──┬──────── grace ────────┤ from here on each seat by its own transaction
    since                                       whole: all are here     since + min(grace, window / 4)
                                                ├ whose own were the last posts at once, else one place after the other

Nobody waits for nothing: the grace runs from this seat's own message and no silence extends it; the first commit or
reveal that comes by itself ends it, and so does the last third of the commit window, or half of the reveal window. A
slow seat wins nothing: whoever completes the set is the one to post it, and without that it pays for itself as before.
Reveals are left to requester and providers for one grace if all of them said, in letters they owe a seat anyway, that
they would conclude the job in the same transaction: that spares the seats their gas.
"""

from dataclasses import dataclass

from heldout.market.terms import Timestamp

STAGGER_S = 4
"""Seconds between one node's try at a move that one of them must make and the next one's: one should pay the gas."""
GRACE_S = 120
"""By default: ten blocks of Ethereum, in which a batch is posted and mined."""


@dataclass(frozen=True)
class Exchange:
    """The messages of one stage of a round, as this node has them."""

    grace_s: int = 0
    """0: the plain road only."""
    since: Timestamp | None = None
    """When this node's own first went out, in block time."""
    whole: Timestamp | None = None
    """When it came to hold those of all seats; `since` if its own were the last."""
    parties: bool = False
    """Whether requester and providers get the openings too, and would `conclude`: the first grace is theirs."""

    def is_over(self, now: Timestamp, window: int) -> bool:
        """Whether to go alone. `window`: seconds of the stage."""
        if not self.grace_s:
            return True
        graces = 2 if self.parties else 1
        return self.since is not None and now >= self.since + graces * self._grace(window)

    def is_turn(self, now: Timestamp, place: int, window: int) -> bool:
        """Whether the node that sits at `place` posts for all."""
        if self.since is None or self.whole is None:
            return False
        if self.parties:
            return now >= max(self.whole, self.since + self._grace(window)) + STAGGER_S * place
        return self.whole == self.since or now >= self.whole + STAGGER_S * (1 + place)

    def _grace(self, window: int) -> int:
        return min(self.grace_s, window // 4)
