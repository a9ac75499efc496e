"""`heldout validator …`: the table of commands, imported on use."""

from collections.abc import Sequence
from typing import Final

from heldout.market.console import Command, run_table

_HERE: Final = "heldout.validator.commands"

COMMANDS: Final = {
    "init": Command("make this node's hot key; the stake stays with a cold key of yours", f"{_HERE}:init"),
    "stake": Command("turn tokens of a cold key into seats of this node", f"{_HERE}:stake"),
    "unstake": Command("begin to leave, and when the delay is over take the stake back", f"{_HERE}:unstake"),
    "doctor": Command("check chain, scorer, stores, gas, disk and seats", f"{_HERE}:doctor", "validator"),
    "run": Command("commit, reveal and settle for all seats until stopped", f"{_HERE}:run", "validator"),
    "duties": Command("the calendar: commit by, reveal by, and your vote once it is open", f"{_HERE}:duties"),
    "status": Command("seats, stake, gas and what the node is doing", f"{_HERE}:status"),
    "replay": Command("measure a revealed job again, and compare every seat's vote", f"{_HERE}:replay", "validator"),
}
ABOUT: Final = """\
Score for others. A validator is drawn by its seats, opens weights and rows that nobody could have trained on, measures
them bit for bit, and is paid for voting what the others find too."""


def main(argv: Sequence[str]) -> int:
    """Run one command line. Raises HeldoutError."""
    return run_table("heldout validator", ABOUT, COMMANDS, argv)
