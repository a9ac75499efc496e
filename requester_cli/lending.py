"""`heldout requester lend`."""

import argparse
import re

from heldout.market.console import emit, home_path, say
from heldout.market.errors import BadInput, Refused
from heldout.requester_cli.session import signing

_CODE = re.compile(r"[0-9a-f]{64}")


def lend_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE", help="the code that the page shows, 64 hexadecimal digits")
    parser.add_argument("--shards", type=int, default=20, help="how many the data is sealed into (default: 20)")
    parser.add_argument("--elsewhere", action="store_true", help="another machine runs `heldout requester run`")


def lend(args: argparse.Namespace) -> int:
    """Lend a page of the market the keys to seal one data set with. They are fresh, derived from your key ring, and
    wrapped to the page that shows CODE: the line that is printed is of no use to anybody else. Paste it into the page.
    `heldout requester run` must be running: from the job's acceptance on it releases the keys in time, whether or not
    the page is still open, and without it your bond is at stake."""
    import secrets

    from heldout.requester_cli.loans import lend_keys

    if not _CODE.fullmatch(args.code):
        raise BadInput("a page's code has 64 hexadecimal digits", hint="copy it from the page", code="bad_code")
    if not 16 <= args.shards <= 64:
        raise BadInput("data is sealed into 16 to 64 shards", code="bad_input")
    with signing(args) as client:
        if not args.elsewhere and not _is_kept(args):
            hint = "start it in another terminal, or add --elsewhere if another machine runs it"
            raise Refused("`heldout requester run` is not running for these keys", hint=hint, code="nobody_keeps")
        loan = lend_keys(client.keys, bytes.fromhex(args.code), secrets.token_bytes(32), args.shards)
    emit(args, {"line": loan.line(), "salt": loan.salt.hex()}, loan.line())
    say("paste this line into the page; it opens nowhere else")
    return 0


def _is_kept(args: argparse.Namespace) -> bool:
    """Whether `requester run` looks after these keys. A `job watch` ends with its job."""
    from heldout.market.errors import AlreadyRunning
    from heldout.market.journal import Journal
    from heldout.requester_cli.watch import STAYS

    try:
        Journal(home_path(args) / "journals" / STAYS).close()
    except AlreadyRunning:
        return True
    return False
