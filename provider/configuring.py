"""`heldout provider init`: a key ring and a provider.toml, neither ever overwritten."""

import argparse
import sys
from pathlib import Path

from heldout.market.console import emit, home_path, load_network, password_path, say
from heldout.market.errors import BadInput
from heldout.market.money import Wei, parse_tokens
from heldout.provider import config
from heldout.provider.bidding import Offer
from heldout.provider.duties import NEVER_WAIVE
from heldout.provider.hardware import Hardware, probe

SHARE = 2
"""By default a node offers one part in this many of the machine's memory and free disk."""


def init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--price", metavar="TOKENS", help="per job-hour; asked for if there is a terminal")
    parser.add_argument("--minimum", metavar="TOKENS", default="0", help="never bid less for a whole job")
    parser.add_argument(
        "--waive-at",
        type=int,
        metavar="PERCENT",
        default=config.WAIVE_AT,
        help="settle at once what is paid this much of the bid, unappealed; 101: never",
    )
    parser.add_argument(
        "--agree-at",
        type=int,
        metavar="PERCENT",
        default=NEVER_WAIVE,
        help="sign an outcome that the requester proposes if it pays this much of the bid (default: never)",
    )
    parser.add_argument("--cpus", type=int, metavar="N", help="cores a job may have (default: all)")
    parser.add_argument("--runner", choices=config.RUNNERS, default="docker", help="process isolates nothing")


def init(args: argparse.Namespace) -> int:
    """Look at this machine, make a key ring if there is none, and write provider.toml."""
    home = home_path(args)
    path = home / config.FILE_NAME
    if path.exists():
        raise BadInput(f"{path} exists", hint="edit it, or move it away first", code="config_exists")
    if args.runner == "process" and not load_network(args).is_devnet:
        raise BadInput("the process runner isolates nothing: it is for a devnet", hint="leave out --runner")
    price = _price(args)
    machine = probe(home)
    say(f"found  {machine.describe()}")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    address = _key_ring(args, home)
    path.write_text(_text(args, price, machine))
    config.parse(path.read_text())
    if not parse_tokens(args.minimum):
        say("minimum is 0: a short job gets a bid of almost nothing, and a lane below the floor costs n·f / lanes")
        say('write minimum under [pay] in provider.toml: "heldout provider price" suggests one', style="yellow")
    lines = (f"address  {address}", f"config   {path}", "next: heldout provider deposit, then doctor, then run")
    emit(args, {"address": address, "config": str(path), "hardware": machine.as_dict()}, *lines)
    return 0


def _price(args: argparse.Namespace) -> Wei:
    text = args.price
    if not text and sys.stdin.isatty():
        say("price per job-hour in tokens?")
        text = input("> ").strip()
    price = parse_tokens(text or "0")
    if price == 0:
        hint = "name it with --price TOKENS; there is no default, since working for nothing is a mistake"
        raise BadInput("no price is set", hint=hint, code="price_unset")
    return price


def _text(args: argparse.Namespace, price: Wei, machine: Hardware) -> str:
    return config.render(
        Offer(price, parse_tokens(args.minimum)),
        cpus=args.cpus or machine.cores,
        memory_bytes=machine.memory_bytes // SHARE,
        disk_bytes=machine.disk_free_bytes // SHARE,
        gpus=len(machine.cuda),
        runner=args.runner,
        waive_at=args.waive_at,
        agree_at=args.agree_at,
    )


def _key_ring(args: argparse.Namespace, home: Path) -> str:
    from heldout.market.keys import ACCOUNT, KeyRing, new_password

    if not (home / ACCOUNT).exists():
        password = new_password(password_file=password_path(args), password_fd=args.password_fd)
        return KeyRing.create(home, password).address
    return KeyRing.address_of(home)
