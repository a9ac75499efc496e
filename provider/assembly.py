"""From words on a command line to a running provider: the one place that reads files, clock and environment."""

import argparse
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from heldout.market.alarm import Alarm, Channel, command_channel, webhook_channel
from heldout.market.artifacts import Stores
from heldout.market.chain import Block, connect
from heldout.market.chain.sender import Outbox
from heldout.market.console import home_path, load_network, open_keys
from heldout.market.daemon import Loop, Pace
from heldout.market.errors import BadInput
from heldout.market.failpoint import failpoints
from heldout.market.journal import Journal
from heldout.market.made import JOURNAL
from heldout.market.mail import Mail
from heldout.market.sandbox import open_runner
from heldout.provider import config, shown
from heldout.provider.book import Book
from heldout.provider.chores import Chores
from heldout.provider.config import Config
from heldout.provider.deliveries import Deliveries
from heldout.provider.hardware import probe
from heldout.provider.materials import Materials
from heldout.provider.node import ProviderNode, first_block
from heldout.provider.record import Records
from heldout.provider.requesters import Requesters
from heldout.provider.sandboxing import offered_tiers
from heldout.provider.senses import Senses
from heldout.provider.tools import Tools
from heldout.provider.training import Training


def read_config(home: Path) -> Config:
    """Raises BadInput if there is no provider.toml, or none that can be used."""
    path = home / config.FILE_NAME
    try:
        return config.parse(path.read_text())
    except FileNotFoundError:
        hint = "write one with `heldout provider init --price TOKENS`"
        raise BadInput(f"there is no {path}", hint=hint, code="no_config") from None


def journal_path(home: Path) -> Path:
    return home / JOURNAL


def channels(settings: Config) -> list[Channel]:
    """Where alarms go besides log and metrics."""
    found = [command_channel(settings.alarm_command)] if settings.alarm_command else []
    return found + ([webhook_channel(settings.alarm_webhook)] if settings.alarm_webhook else [])


@contextmanager
def running_node(
    args: argparse.Namespace, registry: CollectorRegistry, stop: threading.Event, pace: Pace
) -> Iterator[tuple[Loop[Block], Tools]]:
    """Everything a provider needs, opened in order and closed in reverse. Raises HeldoutError."""
    home, network = home_path(args), load_network(args)
    settings = read_config(home)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(journal_path(home)))
        keys = open_keys(args)
        chain = connect(network)
        stack.callback(chain.close)
        alarm = Alarm(channels(settings), registry=registry)
        outbox = Outbox(chain, keys.account, journal, alarm=alarm.ring)
        mail = Mail(network, chain, keys.account, outbox)
        stack.callback(mail.close)
        runner = open_runner(
            settings.runner, home / "sandbox", chain_id=network.chain_id, accelerator=settings.accelerator
        )
        training = Training(runner)
        stack.callback(training.close)
        chores = Chores()
        stack.callback(chores.close)
        stores = Stores.of(network.stores, keys.account)
        records = Records(journal)
        tools = Tools(
            chain=chain,
            outbox=outbox,
            mail=mail,
            stores=stores,
            journal=journal,
            records=records,
            requesters=Requesters(journal),
            materials=Materials(stores, home),
            deliveries=Deliveries(keys, network),
            training=training,
            chores=chores,
            config=settings,
            senses=Senses(home),
            tiers=lambda: offered_tiers(shown.load(home), training.facts(), devnet=network.is_devnet),
            platform=probe(home).platform,
            registry=registry,
            reach=failpoints(network, os.environ),
        )
        book = Book.from_block(chain, first_block(journal, records))
        node = ProviderNode(tools, book, alarm, confirmations=network.confirmations, end=stop.set)
        yield Loop(node, chain.head, alarm, registry=registry, pace=pace, stop=stop), tools
