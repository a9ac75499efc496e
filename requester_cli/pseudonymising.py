"""`heldout data pseudonymise`."""

import argparse
import csv
import os
from collections.abc import Iterable
from pathlib import Path

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
    file: Path = args.file
    out: Path = args.out or file.parent / f"{file.stem}.pseudonymous{file.suffix}"
    if out.exists():
        raise BadInput(f"{out} exists", hint="name another with --out", code="file_exists")
    key = open_keys(args).pseudonym_secret
    try:
        with file.open(encoding="utf-8-sig", newline="") as table:  # spreadsheets put a mark before the first name
            count = _write(out, pseudonymised(table, key, args.columns))
    except FileNotFoundError as absent:
        raise BadInput(f"there is no {absent.filename}", code="no_such_file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8 text", hint="convert it first", code="bad_table") from None
    emit(
        args,
        {"file": str(out), "rows": count, "columns": args.columns},
        f"{count} rows written to {out}, {', '.join(args.columns)} pseudonymous",
        "your key ring finds the same pseudonyms again: `heldout key backup` keeps it",
    )
    return 0


def _write(out: Path, rows: Iterable[list[str]]) -> int:
    """How many there are beside the header. The file appears whole, and only this user can read it."""
    part, count = out.parent / f".{out.name}.{os.getpid()}.part", -1
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as written:
            plain, quoted = (
                csv.writer(written, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
            )
            for row in rows:
                (quoted if any("\r" in field for field in row) else plain).writerow(row)  # a \r would end the line
                count += 1
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return max(0, count)
