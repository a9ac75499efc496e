"""`heldout store serve`."""

import argparse
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heldout.market.console import Command, load_network, run_table, say, start_logging
from heldout.market.errors import BadInput
from heldout.market.spans import parse_span

if TYPE_CHECKING:
    from heldout.market.artifacts.collecting import Jobs

COMMANDS: Final = {
    "serve": Command("keep artifacts for others", "heldout.market.artifacts.cli:serve"),
    "pins": Command("what a store keeps on your account, and until when", "heldout.market.artifacts.pins_cli:pins"),
    "pin": Command("have a store keep an artifact on your account", "heldout.market.artifacts.pins_cli:pin"),
    "unpin": Command("need an artifact no longer", "heldout.market.artifacts.pins_cli:unpin"),
}
DEFAULT_PORT = 8460
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)i?B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def main(argv: Sequence[str]) -> int:
    """A store of artifacts."""
    return run_table(
        "heldout store", "A store keeps artifacts under their SHA-256. Anyone may run one.", COMMANDS, argv
    )


def parse_bytes(text: str) -> int:
    """`2 GiB` in bytes; K, M, G and T are powers of 1024. Raises BadInput."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise BadInput(f"{text!r} is not a size", hint="write for example 512 MiB or 20 GiB")
    return int(match[1]) << _POWERS[match[2].upper()]


def serve_arguments(parser: argparse.ArgumentParser) -> None:
    from heldout.market.artifacts.listening import add_listening_arguments

    parser.add_argument("--dir", required=True, type=Path, help="folder of the artifacts")
    parser.add_argument("--quota", default="20 GiB", help="most bytes in all (%(default)s)")
    parser.add_argument("--max-blob", default="2 GiB", help="most bytes of one artifact (%(default)s)")
    parser.add_argument("--daily", default="5 GiB", help="most bytes an address may upload in a day (%(default)s)")
    parser.add_argument(
        "--account", metavar="SIZE", default="10 GiB", help="most bytes kept for one address (%(default)s)"
    )
    parser.add_argument(
        "--keep",
        metavar="SPAN",
        default="30 d",
        help="how long an upload is kept after it came, and after the last job of its address ended (%(default)s)",
    )
    parser.add_argument(
        "--s3", metavar="URL", help="keep artifacts in s3://bucket/prefix; --dir holds what is arriving"
    )
    add_listening_arguments(parser, DEFAULT_PORT)


def serve(args: argparse.Namespace) -> int:
    """Serve a folder of artifacts, or a bucket, until stopped. Every upload is kept on its signer's account, within a
    quota; what nobody keeps any more is removed, but never while a job of who keeps it goes on. That is read from the
    chain of --network: without one nothing is removed."""
    from heldout.market.artifacts.allowance import Allowance
    from heldout.market.artifacts.disk import DiskStore
    from heldout.market.artifacts.gate import known_hosts
    from heldout.market.artifacts.keeping import Keeping
    from heldout.market.artifacts.listening import listen, public_url, tls_files
    from heldout.market.artifacts.s3 import open_bucket
    from heldout.market.artifacts.server import StoreSettings, create_app
    from heldout.market.artifacts.serving import serve as run

    start_logging(args)
    quota, max_blob = parse_bytes(args.quota), parse_bytes(args.max_blob)
    with DiskStore(args.dir, quota=quota, max_blob=max_blob) as disk:
        store = open_bucket(args.s3, args.dir / "incoming") if args.s3 else disk
        bound = listen(args.listen)
        url = public_url(args, bound)
        hosts = known_hosts(url, bound.getsockname()[1])
        allowance = Allowance(args.dir / "uploads.db", parse_bytes(args.daily), time.time)
        keeping = Keeping(args.dir / "pins.db", parse_bytes(args.account), parse_span(args.keep), time.time)
        chain, confirmations = _chain(args)
        clocks = (time.time, time.monotonic)
        settings = StoreSettings(
            url, hosts, args.rate, *clocks, tuple(args.allow_origin), chain=chain, confirmations=confirmations
        )
        tls = tls_files(args, url)
        say(f"store of {store.name} at {url}")
        run(create_app(store, allowance, keeping, settings), bound, trust_proxy=args.trust_proxy, tls=tls)
    return 0


def _chain(args: argparse.Namespace) -> "tuple[Jobs | None, int]":
    """The chain whose jobs are followed, and how deep; none unless a network is named."""
    if not (args.network or os.environ.get("HELDOUT_NETWORK")):
        say("no --network: nothing is ever removed", style="yellow")
        return None, 0
    from heldout.market.chain import connect

    network = load_network(args)
    return connect(network), network.confirmations
