"""`heldout provider pause | freeze | resume | drain | leave`: the owner's word, whether the node runs now or later."""

import argparse

from heldout.market.console import emit, home_path
from heldout.market.errors import BadInput
from heldout.provider import config
from heldout.provider.owner import Wish
from heldout.provider.senses import write_wish


def pause(args: argparse.Namespace) -> int:
    """Take no new work until `resume`. Training that was promised goes on: its collateral is at stake."""
    return _tell(args, Wish.PAUSE, "no new work is taken; what was promised goes on")


def freeze(args: argparse.Namespace) -> int:
    """As `pause`, and running jobs stand still until `resume`, as long as their deadlines allow ([when] at_risk)."""
    return _tell(args, Wish.FREEZE, "running jobs stand still, as long as their deadlines allow; no new work is taken")


def resume(args: argparse.Namespace) -> int:
    """Take work again, whatever was said before."""
    return _tell(args, Wish.WORK, "work is taken again")


def drain(args: argparse.Namespace) -> int:
    """Take no new work. The node ends by itself once its last job is settled; bids that are out may still be won."""
    return _tell(args, Wish.DRAIN, "no new work is taken; the node ends once nothing is promised")


def leave(args: argparse.Namespace) -> int:
    """As `drain`, and before it ends the node withdraws its free balance to its own address."""
    return _tell(args, Wish.LEAVE, "the node ends once nothing is promised, and takes its balance out of the market")


def _tell(args: argparse.Namespace, wish: Wish, said: str) -> int:
    home = home_path(args)
    if not (home / config.FILE_NAME).exists():
        raise BadInput(f"there is no node in {home}", hint="name its folder with --home", code="no_config")
    write_wish(home, wish)
    emit(args, {"wish": wish}, said)
    return 0
