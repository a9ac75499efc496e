"""`heldout provider …`: set up, check, run and understand a provider node."""

from collections.abc import Sequence
from typing import Final

from heldout.market.console import Command, run_table

_HERE: Final = "heldout.provider"
COMMANDS: Final = {
    "init": Command("make a key ring and a provider.toml for this machine", f"{_HERE}.configuring:init"),
    "doctor": Command("check RPC, clock, gas, disk, stores and sandbox", f"{_HERE}.checking:doctor", "provider"),
    "check-capability": Command("check a provider's signed timing on this CPU", f"{_HERE}.proving:check"),
    "run": Command("bid, train, submit and be paid, until stopped", f"{_HERE}.running:run", "provider"),
    "status": Command("money, jobs in hand and how their training goes", f"{_HERE}.running:status"),
    "why": Command("each job with the rule that kept this node from bidding or winning", f"{_HERE}.running:why"),
    "top": Command("a live view of this node in the terminal", f"{_HERE}.top:top"),
    "price": Command("suggest a price from what others were paid and what power costs", f"{_HERE}.asking:price"),
    "pause": Command("take no new work; what was promised goes on", f"{_HERE}.wishing:pause"),
    "freeze": Command("as pause, and running jobs stand still meanwhile", f"{_HERE}.wishing:freeze"),
    "resume": Command("take work again", f"{_HERE}.wishing:resume"),
    "drain": Command("take no new work, and end once nothing is promised", f"{_HERE}.wishing:drain"),
    "leave": Command("as drain, and withdraw the free balance before the end", f"{_HERE}.wishing:leave"),
    "deposit": Command("move tokens into the market: a bid needs collateral", f"{_HERE}.paying:deposit"),
    "withdraw": Command("move free balance back to your address, or to another", f"{_HERE}.paying:withdraw"),
    "appeal": Command("ask for a bigger committee, with a bond", f"{_HERE}.paying:appeal"),
}


def main(argv: Sequence[str]) -> int:
    """Run one command line, without the words `heldout provider`. Raises HeldoutError."""
    return run_table("heldout provider", __doc__.partition(": ")[2].capitalize(), COMMANDS, argv)
