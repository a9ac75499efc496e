"""`heldout account`: what the market service and the stores hold about your address that is not on chain."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.market.console import confirm, emit, load_network, open_keys, say
from heldout.market.errors import BadInput, HeldoutError

if TYPE_CHECKING:
    from heldout.market.artifacts import HttpStore
    from heldout.market.index_client import IndexClient

NEVER = "What is on chain can never be erased: terms, accepted bids, votes, money, artifacts, and every hash."


def show(args: argparse.Namespace) -> int:
    """How much is held about your address that is not on chain, and what the stores keep on your account."""
    with _held(args) as (service, stores):
        said = service.account()
        kept = {store.name: list(store.pins()) for store in stores}
    lines = [f"{name:10} {said[name]}" for name in ("letters", "readings", "manifests")]
    lines += [f"of these, {said['live']} belong to jobs that are still going on"]
    lines += [
        f"{name} keeps {len(pins)} artifact(s), {sum(p['bytes'] for p in pins)} bytes" for name, pins in kept.items()
    ]
    emit(args, {**said, "stores": kept}, *lines)
    say(NEVER, style="dim")
    return 0


def export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="JSON lines; never over a file")


def export(args: argparse.Namespace) -> int:
    """Write it to a file, one JSON object a line: letters as they were left, readings, manifests, artifacts kept."""
    with _held(args) as (service, stores):
        try:
            file = args.out.open("x")
        except FileExistsError:
            raise BadInput(f"{args.out} exists", hint="name another file", code="file_exists") from None
        with file:
            count = 0
            for row in _rows(service, stores):
                print(json.dumps(row, sort_keys=True), file=file)
                count += 1
    emit(args, {"rows": count, "file": str(args.out)}, f"{count} row(s) written to {args.out}")
    return 0


def erase_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--live", action="store_true", help="also of jobs that are still going on: it may cost you them"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be erased, and erase nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def erase(args: argparse.Namespace) -> int:
    """Have it erased: letters, readings and manifests at the service; your account's artifacts at the stores."""
    with _held(args) as (service, stores):
        said = service.account()
        kept = {store.name: len(list(store.pins())) for store in stores}
        rows = said["letters"] + said["readings"] + said["manifests"]
        say(f"{rows} row(s) at the service, {said['live']} of them of jobs still going on")
        say(f"{sum(kept.values())} artifact(s) at {len(kept)} store(s)")
        say(NEVER, style="dim")
        if args.dry_run:
            emit(args, {**said, "stores": kept}, "nothing was erased")
            return 0
        confirm("Erase?", yes=args.yes)
        dropped = {store.name: store.drop_pins() for store in stores}  # before the service copies a manifest again
        gone = service.erase_account(live=args.live)
    told = f"erased {gone['letters']} letter(s), {gone['readings']} reading(s), {gone['manifests']} manifest(s)"
    kept_line = f"{gone['kept']} row(s) of jobs still going on were kept" if gone["kept"] else "nothing was kept"
    emit(args, {**gone, "stores": dropped}, told, kept_line)
    return 0


@contextmanager
def _held(args: argparse.Namespace) -> Iterator[tuple["IndexClient", list["HttpStore"]]]:
    from heldout.market.artifacts import HttpStore
    from heldout.market.index_client import IndexClient

    network = load_network(args)
    if not network.service:
        raise BadInput("the network file names no market service", hint="add `service` to it", code="no_service")
    account = open_keys(args).account
    stores = [HttpStore(url, account) for url in network.stores if url.startswith("http")]
    with IndexClient(network.service, account, network.chain_id) as service:
        yield service, stores
    for store in stores:
        store.close()


def _rows(service: "IndexClient", stores: list["HttpStore"]) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = service.export_account(cursor=cursor)
        yield from ({name: row[name] for name in ("kind", "job", "value")} for row in page["rows"])
        cursor = page["next"]
    for store in stores:
        try:
            yield from (
                {"kind": "artifact", "job": None, "value": {"store": store.name, **pin}} for pin in store.pins()
            )
        except HeldoutError as problem:
            say(f"{store.name} did not tell: {problem.message}", style="yellow")
