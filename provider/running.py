"""`heldout provider run`, and `status` and `why`, which may look while it runs."""

import argparse
import logging
import threading

from heldout.market.chain import connect
from heldout.market.console import amount, emit, home_path, load_network, start_logging, table
from heldout.market.errors import BadInput
from heldout.market.journal import glance, is_held
from heldout.market.keys import KeyRing
from heldout.market.money import format_gas, format_tokens
from heldout.provider import showing
from heldout.provider.assembly import journal_path
from heldout.provider.making import PROGRESS
from heldout.provider.record import PREFIX, Record
from heldout.provider.senses import read_wish, wish_since

log = logging.getLogger(__name__)


def run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--period", type=float, default=1.0, metavar="S", help="seconds between cycles (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Bid for what fits this machine and its price, train it, submit it and be paid, until stopped."""
    from prometheus_client import CollectorRegistry

    from heldout.market.daemon import Pace, metrics_server, stopping_on_signals
    from heldout.provider.assembly import running_node

    start_logging(args)
    registry, stop = CollectorRegistry(), threading.Event()
    with (
        running_node(args, registry, stop, Pace(period_s=args.period)) as (loop, tools),
        metrics_server(tools.config.metrics, registry, lambda: loop.ready) as (host, port),
        stopping_on_signals(stop),
    ):
        price = format_tokens(tools.config.offer.price)
        log.info("online as %s  %s a job-hour  metrics %s:%d", tools.deliveries.me, price, host, port)
        loop.run()
    log.info("stopped; jobs in the sandbox go on and are adopted at the next start")
    return 0


def status(args: argparse.Namespace) -> int:
    """Money on the chain, and every job in hand."""
    home = home_path(args)
    chain, address = connect(load_network(args)), KeyRing.address_of(home)
    gas, free, tokens = chain.eth(address), chain.free(address), chain.token_balance(address)
    progress = dict(glance(journal_path(home), PROGRESS))
    active = [record for record in _records(args) if record.price is not None and not record.done]
    jobs = [showing.as_json(record, progress.get(PROGRESS + record.job)) for record in active]
    money = {"gas": amount(gas), "free": amount(free), "wallet": amount(tokens)}
    rows = [(job["job"], job["stage"], showing.reading(job["last_reading"]), job["reason"]) for job in jobs]
    wish, running = read_wish(home), is_held(journal_path(home))
    emit(
        args,
        {"address": address, "wish": wish, "running": running, **money, "jobs": jobs},
        *showing.node_lines(wish, wish_since(home), running),
        f"address  {address}",
        f"free     {format_tokens(free)}   wallet {format_tokens(tokens)}   gas {format_gas(gas)}",
        *table(("job", "stage", "last reading", ""), rows),
    )
    return 0


def why_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", help="a job, or how its id begins; all that this node has seen if left out")


def why(args: argparse.Namespace) -> int:
    """Each job this node has seen, with the exact rule that kept it from bidding or winning."""
    records = [record for record in _records(args) if record.job.startswith((args.job or "").lower())]
    if args.job and not records:
        raise BadInput(f"this node has not seen job {args.job}", hint="is it running, and on this network?")
    rows = [(record.job, showing.rule(record), showing.reason(record)) for record in records]
    value = [showing.as_json(record) for record in records]
    emit(args, value, *table(("job", "rule", "reason"), rows), showing.summary(records))
    return 0


def _records(args: argparse.Namespace) -> list[Record]:
    """Newest first, read while the node may be running."""
    found = [Record.from_dict(raw) for _, raw in glance(journal_path(home_path(args)), PREFIX)]
    return sorted(found, key=lambda record: -record.posted)
