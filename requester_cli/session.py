"""From a command line's arguments to a Client, and from a person's words to a job."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from heldout.market.console import home_path, load_network, open_keys
from heldout.market.errors import BadInput

if TYPE_CHECKING:
    from heldout.market.lifecycle import JobState
    from heldout.requester_cli.client import Client


@contextmanager
def reading(args: argparse.Namespace) -> Iterator["Client"]:
    """A client that has no keys and asks for no password. It sees the calls for bids of the home directory."""
    from heldout.requester_cli.client import Client

    with Client(load_network(args), home=home_path(args)) as client:
        yield client


@contextmanager
def signing(args: argparse.Namespace, *, journal: str = "commands") -> Iterator["Client"]:
    """A client with the keys of the home directory, and its journal. Raises AlreadyRunning if another holds it."""
    from heldout.requester_cli.client import Client

    network = load_network(args)
    with Client(network, open_keys(args), home=home_path(args), journal=journal) as client:
        yield client


def job_argument(parser: argparse.ArgumentParser) -> None:
    """`ID`, which may be left out in a folder from which a job was posted."""
    parser.add_argument("id", metavar="ID", nargs="?", help="job id, or its beginning; default: posted last from here")


def chosen_job(args: argparse.Namespace, client: "Client") -> "JobState":
    """The job a command is about. Raises BadInput if there is none."""
    from heldout.requester_cli.project import latest_job

    named = args.id or latest_job(Path())
    if named is None:
        raise BadInput("which job?", hint="give its id, or run this in the folder it was posted from", code="usage")
    return client.job(named)


def folder_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=Path(), help="job folder (default: .)")
