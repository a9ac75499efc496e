"""`heldout requester keep`."""

import argparse
from pathlib import Path
from typing import Final

from heldout.market.console import home_path, load_network, open_keys, say, start_logging

DEFAULT_PORT: Final = 8470
_JOURNAL: Final = "key-keeper"


def keep_arguments(parser: argparse.ArgumentParser) -> None:
    from heldout.market.artifacts.listening import add_listening_arguments

    parser.add_argument(
        "--alarm-command", metavar="PROGRAM", help="run with a JSON object on stdin when a duty is at risk"
    )
    parser.add_argument("--alarm-webhook", metavar="URL", help="POST the same object there")
    add_listening_arguments(parser, DEFAULT_PORT)


def keep(args: argparse.Namespace) -> int:
    """Keep shard keys that others hand to you, and release them when they are due, until stopped. You could read their
    data, and what you withhold costs their bond: they trust you with that, and with no money. Name the pages that may
    hand keys over with --allow-origin; `heldout market serve --keeper` takes the line that is printed."""
    import time
    from contextlib import ExitStack

    from heldout.market.alarm import Alarm, command_channel, webhook_channel
    from heldout.market.artifacts.gate import known_hosts
    from heldout.market.artifacts.listening import listen, public_url, tls_files
    from heldout.market.artifacts.serving import serve
    from heldout.market.chain import connect
    from heldout.market.daemon import Loop
    from heldout.market.journal import Journal
    from heldout.market.keeping.app import KeeperSettings, create_app
    from heldout.market.keeping.offered import OfferedKeeper
    from heldout.market.keeping.working import in_a_thread
    from heldout.market.mail import Mail
    from heldout.requester_cli.handed import Shelf
    from heldout.requester_cli.keykeeper import KeyKeeper

    start_logging(args)
    network, ring, home = load_network(args), open_keys(args), home_path(args)
    channels = [command_channel([str(Path(args.alarm_command))])] if args.alarm_command else []
    channels += [webhook_channel(args.alarm_webhook)] if args.alarm_webhook else []
    alarm, chain = Alarm(channels), connect(network)
    with ExitStack() as stack:
        stack.enter_context(Journal(home / "journals" / _JOURNAL))  # one process keeps what is on this shelf
        keeper = KeyKeeper(chain, Mail(network, chain, ring.account), Shelf(home / "handed", ring), alarm)
        loop = Loop(keeper, chain.head, alarm)
        bound = listen(args.listen)
        url = public_url(args, bound)
        hosts, origins = known_hosts(url, bound.getsockname()[1]), tuple(args.allow_origin)
        settings = KeeperSettings(
            url, hosts, origins, args.rate, time.monotonic, lambda: in_a_thread(loop.run, loop.stop)
        )
        tls = tls_files(args, url)
        say(f"keeper: {OfferedKeeper(ring.address, ring.wrap_public, url)}")
        serve(create_app(keeper, settings), bound, trust_proxy=args.trust_proxy, tls=tls)
    return 0
