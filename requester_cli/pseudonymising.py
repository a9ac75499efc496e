"""`heldout data pseudonymise`."""

import argparse
import csv
import os
from pathlib import Path
from typing import TextIO

from heldout.market.console import emit, open_keys
from heldout.market.errors import BadInput
from heldout.requester_cli.pseudonyms import pseudonymised


def pseudonymise_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a table as CSV, with a header")
    parser.add_argument("--columns", metavar="NAME", nargs="+", required=True, help="what names a person")
    parser.add_argument("--out", metavar="FILE", type=Path, help="default: FILE with .pseudonymous before its ending")


def pseudonymise(args: argparse.Namespace) -> int:
    """Replace every value of some columns by a keyed hash, so that rows of one person still belong together and
    nobody without your key ring can tell who that is. Do it before you make data of the table and seal it: what was
    opened to providers and seats can never be taken back. Nothing is uploaded; the file itself stays as it is."""
    out: Path = args.out or args.file.with_suffix(f".pseudonymous{args.file.suffix}")
    if out.exists():
        raise BadInput(f"{out} exists", hint="name another with --out", code="file_exists")
    key, part, count = open_keys(args).pseudonym_secret, out.with_name(f".{out.name}.part"), -1  # the header is no row
    try:
        with args.file.open(encoding="utf-8", newline="") as table, _private(part) as written:
            writer = csv.writer(written, lineterminator="\n")
            for row in pseudonymised(table, key, args.columns):
                writer.writerow(row)
                count += 1
        os.replace(part, out)
    except FileNotFoundError:
        raise BadInput(f"there is no {args.file}", code="no_such_file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{args.file} is not UTF-8 text", hint="convert it first", code="bad_table") from None
    finally:
        part.unlink(missing_ok=True)
    emit(
        args,
        {"file": str(out), "rows": max(0, count), "columns": args.columns},
        f"{max(0, count)} rows written to {out}, {', '.join(args.columns)} pseudonymous",
        "your key ring finds the same pseudonyms again: `heldout key backup` keeps it",
    )
    return 0


def _private(path: Path) -> TextIO:
    """A new file that only this user can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="")
