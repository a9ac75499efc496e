"""`heldout market serve`."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from heldout.market.console import Command, emit, load_network, run_table, say, start_logging
from heldout.market.errors import BadInput

if TYPE_CHECKING:
    from heldout.market.service.asking import Model

DEFAULT_PORT = 8450
KEY_VARIABLE = "HELDOUT_CHAT_KEY"
"""The endpoint's own key, as for `heldout chat`; it goes to that URL alone and never to a page."""

COMMANDS: Final = {
    "serve": Command("index the chain, carry bids and letters", "heldout.market.service.cli:serve"),
    "hash": Command("one hash over all that the index took from the chain", "heldout.market.service.cli:state"),
}


def main(argv: Sequence[str]) -> int:
    """The market service."""
    about = "The market service indexes the chain and carries letters. Jobs get by without it."
    return run_table("heldout market", about, COMMANDS, argv)


def _database_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--db", required=True, metavar="FILE|URL", help="SQLite file, or postgresql://…")


def serve_arguments(parser: argparse.ArgumentParser) -> None:
    from heldout.market.artifacts.listening import add_listening_arguments

    _database_argument(parser)
    parser.add_argument(
        "--secret", type=Path, metavar="FILE", help="key of the sessions (default: beside the SQLite file)"
    )
    parser.add_argument(
        "--keeper",
        metavar="ADDRESS,KEY,URL",
        action="append",
        default=[],
        help="a keeper of shard keys to offer, as `heldout requester keep` prints it; may be repeated",
    )
    parser.add_argument(
        "--assistant",
        metavar="URL",
        help=f"OpenAI-compatible base URL for the pages' assistant; key from ${KEY_VARIABLE}",
    )
    parser.add_argument("--assistant-model", metavar="NAME", default="", help="the model behind that URL")
    parser.add_argument(
        "--assistant-hourly",
        type=float,
        metavar="N",
        default=60,
        help="questions an hour it is asked, all clients together (%(default)s)",
    )
    parser.add_argument(
        "--language", default="en", metavar="CODE", help="of pages and assistant: a catalogue's name (%(default)s)"
    )
    parser.add_argument("--rebuild", action="store_true", help="forget what came from the chain and read it again")
    add_listening_arguments(parser, DEFAULT_PORT)


def serve(args: argparse.Namespace) -> int:
    """Serve the index, the bid board and the mailboxes until stopped."""
    from heldout.market.artifacts.gate import known_hosts
    from heldout.market.artifacts.listening import listen, public_url, tls_files
    from heldout.market.artifacts.serving import serve as run
    from heldout.market.chain import connect
    from heldout.market.keeping.offered import OfferedKeeper
    from heldout.market.service.app import ServiceSettings, create_app
    from heldout.market.service.database import open_database
    from heldout.market.service.indexer import Index
    from heldout.market.service.sessions import load_secret

    start_logging(args)
    model, keepers = _model(args), tuple(map(OfferedKeeper.parse, args.keeper))
    _speak(args.language)
    network = load_network(args)
    engine = open_database(args.db)
    beside = Path(engine.url.database or "market") if engine.dialect.name == "sqlite" else Path("market")
    secret = load_secret(args.secret or beside.with_name("session-secret"))
    chain = connect(network)
    if args.rebuild:
        Index(engine, chain).clear()
    bound = listen(args.listen)
    url = public_url(args, bound)
    hosts = known_hosts(url, bound.getsockname()[1])
    settings = ServiceSettings(
        url, hosts, args.rate, secret, time.time, time.monotonic, tuple(args.allow_origin), keepers=keepers, model=model
    )
    tls = tls_files(args, url)
    say(f"market service of {network.name} at {url}")
    run(create_app(network, chain, engine, settings), bound, trust_proxy=args.trust_proxy, tls=tls)
    return 0


def _speak(language: str) -> None:
    """Raises BadInput."""
    from heldout.market.texts import languages, speak

    try:
        speak(language)
    except KeyError:
        hint = f"there is {', '.join(languages())}; another is one file in market/texts"
        raise BadInput(f"there is no catalogue {language!r}", hint=hint, code="no_language") from None


def _model(args: argparse.Namespace) -> "Model | None":
    """Raises BadInput."""
    from heldout.market.service.asking import Model

    if not args.assistant:
        return None
    parts = urlsplit(args.assistant)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise BadInput(f"{args.assistant!r} is no base URL", hint="write for example http://127.0.0.1:11434/v1")
    if not args.assistant_model or not 0 < args.assistant_hourly < 1e6:
        raise BadInput("which model, and how often?", hint="see --assistant-model, --assistant-hourly", code="usage")
    return Model(args.assistant, args.assistant_model, os.environ.get(KEY_VARIABLE, ""), args.assistant_hourly)


def state_arguments(parser: argparse.ArgumentParser) -> None:
    _database_argument(parser)


def state(args: argparse.Namespace) -> int:
    """Print a hash of every row derived from the chain: an index that was rebuilt has the same one (P11)."""
    from heldout.market.service.database import open_database
    from heldout.market.service.reading import Reading

    value = Reading(open_database(args.db)).state_hash()
    emit(args, {"state_hash": value}, value)
    return 0
