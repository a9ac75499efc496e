"""Whose seats are whose, and where a node keeps itself."""

import argparse
import os
from pathlib import Path

from heldout.market.chain import Block, Chain, SeatView

NOBODY = "0x" + "00" * 20


def seats_of(chain: Chain, head: Block, *, hot: str = "", cold: str = "") -> dict[int, SeatView]:
    """Seats with this hot or cold key at `head`, by number; a withdrawn seat is nobody's."""
    told = chain.events(chain.network.deploy_block, head.number, names=["Staked", "Rotated"])
    numbers = sorted({event.args["seat"] for event in told})
    views = zip(numbers, chain.seats(numbers, at=head), strict=True)
    wanted = {address.lower() for address in (hot, cold) if address}
    return {n: view for n, view in views if wanted & {view.hot.lower(), view.cold.lower()} and view.cold != NOBODY}


def live_at_home(parser: argparse.ArgumentParser) -> None:
    """Let --home default to $HELDOUT_HOME, else to this user's own place for a validator."""
    from platformdirs import user_state_path

    named = os.environ.get("HELDOUT_HOME")
    parser.set_defaults(home=Path(named) if named else user_state_path("heldout") / "validator")
