"""`heldout data seal`."""

import argparse

from heldout.market.console import emit, say
from heldout.requester_cli.session import folder_argument, signing


def seal_arguments(parser: argparse.ArgumentParser) -> None:
    folder_argument(parser)
    parser.add_argument("--drop-duplicates", action="store_true", help="keep the first of rows with the same x")
    parser.add_argument("--again", action="store_true", help="seal afresh, although the data is sealed already")


def seal(args: argparse.Namespace) -> int:
    """Shuffle the rows of a job folder's data in a secret order, cut them into shards, seal each under its own key,
    and upload them. Which shards are held out is drawn by the chain after providers are bound, so nobody chooses, and
    no row can change afterwards. The keys follow from your key ring and stay with you."""
    with signing(args) as client:
        say("sealing and uploading")
        about = client.seal(args.folder, drop_duplicates=args.drop_duplicates, again=args.again)
    rows = sum(about.rows)
    emit(
        args,
        {"data_root": about.root.hex(), "rows": rows, "shards": about.shards, "shard_bytes": about.shard_bytes},
        f"sealed {rows} rows into {about.shards} shards of {about.shard_bytes} bytes",
        f"data root {about.root.hex()}",
        "next: heldout job check",
    )
    return 0
