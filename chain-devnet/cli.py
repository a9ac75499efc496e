"""`heldout devnet`: a whole market on this machine, for trying things out. Its money is play money."""

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from heldout.market.console import Command, emit, run_table, say, state_dir

_HERE = "heldout.devnet.cli"

COMMANDS: Final = {
    "up": Command("start chain, contracts, store, service and nodes", f"{_HERE}:up"),
    "down": Command("end all of its processes; `up` goes on from there", f"{_HERE}:down"),
    "warp": Command("move block time on", f"{_HERE}:warp"),
    "fund": Command("play money and gas for a key ring or address", f"{_HERE}:fund"),
    "accounts": Command("the test accounts and what they hold", f"{_HERE}:accounts"),
}


def main(argv: Sequence[str]) -> int:
    """A whole market on this machine."""
    about = "A devnet: anvil with the market deployed, and everything around it. Keys are public, money is play money."
    return run_table("heldout devnet", about, COMMANDS, argv)


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, metavar="DIR", help="its folder (default: $HELDOUT_STATE, else yours)")


def _state(args: argparse.Namespace) -> Path:
    folder: Path = args.state or state_dir()
    return folder.resolve()


def up_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)
    parser.add_argument("--block-time", type=float, default=1, metavar="S", help="seconds a block; 0: a block per call")
    parser.add_argument("--providers", type=int, default=0, metavar="N", help="provider nodes to run (%(default)s)")
    parser.add_argument(
        "--validators", type=int, default=0, metavar="N", help="validators to stake and run, 3 seats each"
    )
    parser.add_argument("--runner", choices=("docker", "process"), default="docker", help="process isolates nothing")
    parser.add_argument("--detach", action="store_true", help="leave it running and return")


def up(args: argparse.Namespace) -> int:
    """Start a devnet, or go on with the one in its folder."""
    from heldout.devnet.devnet import Devnet

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    devnet = Devnet.up(
        _state(args),
        block_time=args.block_time or None,
        providers=args.providers,
        validators=args.validators,
        runner=args.runner,
    )
    network = devnet.network
    told = {"state": str(devnet.state), "network": str(devnet.network_file), "rpc": network.rpc[0]}
    lines = [
        f"chain    {network.rpc[0]}  (market {network.market})",
        f"store    {network.stores[0]}",
        f"service  {network.service}",
        f"network  {devnet.network_file}",
    ]
    if args.detach:
        emit(args, told, *lines)
        return 0
    with devnet:
        try:
            emit(args, told, *lines)
            say("^C ends it; the chain is kept, and `heldout devnet up` goes on from there")
            signal.pause()
        except KeyboardInterrupt:
            say("ending")
    return 0


def down_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)


def down(args: argparse.Namespace) -> int:
    """End every process that `up` started, and no other."""
    from heldout.devnet.processes import Processes

    processes = Processes(_state(args))
    ended = processes.running()
    processes.stop()
    emit(args, {"ended": ended}, f"ended {', '.join(ended) or 'nothing: no devnet runs here'}")
    return 0


def warp_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)
    parser.add_argument("seconds", type=int, help="how far")


def warp(args: argparse.Namespace) -> int:
    """Move block time on and mine a block there: deadlines are in block time."""
    from heldout.devnet.devnet import Devnet
    from heldout.market.errors import BadInput

    if args.seconds < 1:
        raise BadInput("block time moves on only, by a second at least", hint="heldout devnet warp 60")
    devnet = Devnet.attach(_state(args))
    devnet.warp(args.seconds)
    head = devnet.chain().head()
    emit(args, {"block": head.number, "timestamp": head.timestamp}, f"block {head.number} at {head.timestamp}")
    return 0


def fund_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)
    parser.add_argument("address", metavar="ADDRESS", nargs="?", help="default: that of the key ring in --home")


def fund(args: argparse.Namespace) -> int:
    """Give an address as many tokens as a test account starts with, and gas money: this chain's have no value."""
    from heldout.devnet.devnet import Devnet
    from heldout.market.chain import checksum
    from heldout.market.console import amount, home_path
    from heldout.market.keys import KeyRing
    from heldout.market.money import format_gas, format_tokens

    devnet = Devnet.attach(_state(args))
    who = checksum(args.address) if args.address else KeyRing.address_of(home_path(args))
    devnet.fund(who)
    chain = devnet.chain()
    tokens, gas = chain.token_balance(who), chain.eth(who)
    told = {"address": who, "tokens": amount(tokens), "gas": amount(gas)}
    emit(args, told, f"{who} holds {format_tokens(tokens)} HELD and {format_gas(gas)} ETH for gas")
    return 0


def accounts_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)


def accounts(args: argparse.Namespace) -> int:
    """Names, addresses and money of the key rings. Everybody knows these keys: never send them anything of value."""
    from heldout.devnet.devnet import Devnet
    from heldout.market.console import amount, table
    from heldout.market.keys import KeyRing
    from heldout.market.money import format_tokens

    devnet = Devnet.attach(_state(args))
    chain = devnet.chain()
    rows = []
    for home in sorted((devnet.state / "keys").iterdir()):
        who = KeyRing.address_of(home)
        rows.append((home.name, who, chain.token_balance(who), chain.free(who)))
    told = [{"name": n, "address": a, "tokens": amount(t), "free": amount(f)} for n, a, t, f in rows]
    shown = table(
        ("name", "address", "tokens", "free"), [(n, a, format_tokens(t), format_tokens(f)) for n, a, t, f in rows]
    )
    emit(args, told, *shown)
    return 0
