"""`heldout store pins`, `pin`, `unpin`: what a store keeps on your account."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from heldout.market.console import emit, load_network, open_keys, table
from heldout.market.errors import BadInput

if TYPE_CHECKING:
    from heldout.market.artifacts import HttpStore


def pins_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="URL", help="default: the first store of the network file")


def pins(args: argparse.Namespace) -> int:
    """List what a store keeps on your account. Each is kept until the time shown, or while a job of yours goes on."""
    with _store(args) as store:
        found = list(store.pins())
    rows = [(pin["artifact"], pin["bytes"], _until(pin)) for pin in found]
    total = f"{len(found)} artifact(s), {sum(pin['bytes'] for pin in found)} bytes"
    emit(args, {"store": store.name, "pins": found}, *table(("ARTIFACT", "BYTES", "KEPT"), rows), total)
    return 0


def pin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="SHA256", help="64 hex digits")
    pins_arguments(parser)


def pin(args: argparse.Namespace) -> int:
    """Have a store keep an artifact that it has on your account, whoever brought it; or keep it for longer."""
    from heldout.market.artifacts import parse_id

    artifact = parse_id(args.artifact)
    with _store(args) as store:
        said = store.pin(artifact)
    emit(args, said, f"{store.name} keeps {artifact} {_until(said)}")
    return 0


def unpin_arguments(parser: argparse.ArgumentParser) -> None:
    pin_arguments(parser)


def unpin(args: argparse.Namespace) -> int:
    """Need an artifact no longer. It is removed once nobody else keeps it and no job of yours goes on."""
    from heldout.market.artifacts import parse_id

    artifact = parse_id(args.artifact)
    with _store(args) as store:
        dropped = store.drop_pin(artifact)
    told = "is kept for you no longer" if dropped else "was not kept for you"
    emit(args, {"dropped": dropped}, f"{artifact} {told}")
    return 0


@contextmanager
def _store(args: argparse.Namespace) -> "Iterator[HttpStore]":
    from heldout.market.artifacts import HttpStore

    urls = [args.store] if args.store else [url for url in load_network(args).stores if url.startswith("http")]
    if not urls:
        raise BadInput("which store?", hint="name it with --store", code="usage")
    store = HttpStore(urls[0], open_keys(args).account)
    try:
        yield store
    finally:
        store.close()


def _until(pin: dict[str, Any]) -> str:
    if pin["until"] is None:
        return "while a job of yours goes on" + (", then no longer" if pin["dropped"] else "")
    return "no longer" if pin["dropped"] else f"until {datetime.fromtimestamp(pin['until'], UTC):%Y-%m-%d %H:%M} UTC"
