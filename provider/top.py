"""`heldout provider top`: `status`, again and again, on a screen of its own."""

import argparse
import sys
import time
from collections.abc import Iterator

from heldout.market.chain import Chain, connect
from heldout.market.console import clean, home_path, load_network, table
from heldout.market.errors import BadInput, ChainProblem
from heldout.market.journal import glance
from heldout.market.keys import KeyRing
from heldout.market.money import format_gas, format_tokens
from heldout.provider import showing
from heldout.provider.assembly import journal_path, read_config
from heldout.provider.making import PROGRESS
from heldout.provider.owner import objection
from heldout.provider.record import PREFIX, Record
from heldout.provider.senses import Senses

_HOME_AND_CLEAR = "\x1b[H\x1b[J"
_OTHER_SCREEN, _THIS_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
LINES = 8
"""Latest lines of the jobs' output that are shown."""


def top_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two looks (default: 2)")


def top(args: argparse.Namespace) -> int:
    """Money, the owner's word, jobs in hand and what they print, until ^C."""
    if not sys.stdout.isatty():
        raise BadInput("top draws on a terminal, and this is none", hint="use `heldout provider status`")
    home = home_path(args)
    chain, address, senses = connect(load_network(args)), KeyRing.address_of(home), Senses(home)

    def look() -> list[str]:
        return [*_node(args, chain, address, senses), "", *_jobs(args)]

    try:
        sys.stdout.write(_OTHER_SCREEN)
        while True:
            sys.stdout.write(_HOME_AND_CLEAR + "\n".join(look()) + "\n")
            sys.stdout.flush()
            time.sleep(args.every)
    finally:
        sys.stdout.write(_THIS_SCREEN)
        sys.stdout.flush()


def _node(args: argparse.Namespace, chain: Chain, address: str, senses: Senses) -> Iterator[str]:
    settings = read_config(home_path(args))
    held_back = objection(settings.when, senses.wish, senses.conditions)
    yield f"{address}   asks {format_tokens(settings.offer.price)} a job-hour   {held_back or 'takes new work'}"
    try:
        gas, free, head = chain.eth(address), chain.free(address), chain.head()
        yield f"free {format_tokens(free)}   gas {format_gas(gas)}   block {head.number}"
    except ChainProblem as problem:
        yield f"no word from the chain: {problem.message}"


def _jobs(args: argparse.Namespace) -> Iterator[str]:
    journal = journal_path(home_path(args))
    records = sorted((Record.from_dict(raw) for _, raw in glance(journal, PREFIX)), key=lambda each: -each.posted)
    progress = dict(glance(journal, PROGRESS))
    active = [record for record in records if record.price is not None and not record.done]
    shown = [showing.as_json(record, progress.get(PROGRESS + record.job)) for record in active]
    yield from table(
        ("job", "stage", "last reading", ""),
        [(job["job"], job["stage"], showing.reading(job["last_reading"]), job["reason"]) for job in shown],
    )
    yield ""
    for record in active:
        for line in progress.get(PROGRESS + record.job, {}).get("tail", ())[-LINES:]:
            yield f"{record.job[:10]} | {clean(line)}"
    yield showing.summary(records)
