"""`heldout ops`: the files an operator needs around the nodes, as they lie in the package."""

import argparse
import sys
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from heldout.market.console import Command, emit, run_table, table
from heldout.market.errors import BadInput

FILES: Final = {
    "alerts.yml": "Prometheus alert rules for every node",
    "dashboard.json": "Grafana dashboard: import it and choose the Prometheus data source",
    "prometheus.yml": "a scrape configuration for what compose.yaml starts",
    "compose.yaml": "store, market service, PostgreSQL and Prometheus",
    "Dockerfile": "one image for every node and service",
    "systemd/heldout-provider.service": "systemd unit of a provider node",
    "systemd/heldout-validator.service": "systemd unit of a validator node",
    "systemd/heldout-requester.service": "systemd unit of a requester's daemon",
    "systemd/heldout-keeper.service": "systemd unit of a keeper of shard keys",
    "systemd/heldout-market.service": "systemd unit of the market service",
    "systemd/heldout-store.service": "systemd unit of a store",
}
COMMANDS: Final = {
    "list": Command("what there is", "heldout.ops.cli:list_files"),
    "print": Command("one of them on stdout", "heldout.ops.cli:print_file"),
}


def main(argv: Sequence[str]) -> int:
    """Run one command line, without the words `heldout ops`. Raises HeldoutError."""
    return run_table("heldout ops", "Files for operators: units, containers, alert rules, a dashboard.", COMMANDS, argv)


def list_files(args: argparse.Namespace) -> int:
    """The files, with what each is for."""
    emit(args, FILES, *table(("file", ""), list(FILES.items())))
    return 0


def print_file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="as `heldout ops list` names it")


def print_file(args: argparse.Namespace) -> int:
    """Write one file to stdout, byte for byte."""
    if args.file not in FILES:
        raise BadInput(f"there is no file {args.file}", hint="see `heldout ops list`")
    sys.stdout.write(files("heldout.ops").joinpath(args.file).read_text())
    return 0
