"""What a running node shows of itself: one small file, replaced as a whole, that `duties` and `status` read.

The journal belongs to the running process alone, so a person looks here. A vote is in the file only once its stage lets
everybody see it (P4.7).
"""

import argparse
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from heldout.market.chain import Block, connect
from heldout.market.console import amount, emit, home_path, load_network, table
from heldout.market.errors import HeldoutError
from heldout.market.keys import KeyRing
from heldout.market.messages import describe_score
from heldout.market.money import format_gas, format_tokens
from heldout.market.spans import format_span
from heldout.validator.node import Entry
from heldout.validator.seats import seats_of

log = logging.getLogger(__name__)

FILE = "board.json"
STALE_S = 30.0


class Board:
    """Writes the file whenever a cycle has gone by."""

    def __init__(self, home: Path, capable: bool, registry: CollectorRegistry) -> None:
        self._path = home / FILE
        self._capable = capable
        self._count = Gauge("heldout_duties", "Seats with a duty now, by how far it is", ["state"], registry=registry)

    def show(self, head: Block, entries: list[Entry]) -> None:
        duties = [{**asdict(entry.duty), "vote": entry.vote} for entry in entries]
        shown = {"at": time.time(), "block": head.number, "time": head.timestamp, "capable": self._capable}
        try:
            self._replace(json.dumps({**shown, "duties": duties}))
        except OSError as problem:  # a full disk must not keep a node from its reveals
            log.warning("the board cannot be written: %s", problem)
        self._count.clear()
        for entry in entries:
            self._count.labels(entry.duty.state).inc()

    def _replace(self, text: str) -> None:
        scratch = self._path.with_suffix(".new")
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        scratch.replace(self._path)


def read(home: Path) -> dict[str, Any]:
    """What the node showed last. Raises HeldoutError `not_running` if it never did."""
    try:
        shown: dict[str, Any] = json.loads((home / FILE).read_text())
    except (FileNotFoundError, ValueError):
        hint = f"start it with `heldout validator run --home {home}`"
        raise HeldoutError(f"no validator has run in {home}", hint=hint, code="not_running") from None
    return {**shown, "age": max(0.0, time.time() - shown["at"])}


def duties(args: argparse.Namespace) -> int:
    """The calendar of this node. Times are in block time; a vote is shown once its stage is open to everybody."""
    shown = read(home_path(args))
    header = ("job", "round", "seat", "state", "commit by", "reveal by", "my vote")
    rows = [_row(duty, shown["time"]) for duty in shown["duties"]]
    emit(args, shown, *table(header, rows), _freshness(shown))
    return 0


def _row(duty: dict[str, Any], now: int) -> tuple[object, ...]:
    vote = " ".join(map(describe_score, duty["vote"])) if duty["vote"] else "–"
    due = (_moment(duty["commit_by"], now), _moment(duty["reveal_by"], now))
    return (duty["job"], duty["round"], duty["seat"], duty["state"], *due, vote)


def _moment(at: int | None, now: int) -> str:
    if at is None:
        return "–"
    return time.strftime("%H:%M:%SZ", time.gmtime(at)) + (f" (in {format_span(at - now)})" if at > now else "")


def _freshness(shown: dict[str, Any]) -> str:
    late = " – is the node running?" if shown["age"] > STALE_S else ""
    return f"as of block {shown['block']}, {format_span(int(shown['age']))} ago{late}"


def status(args: argparse.Namespace) -> int:
    """Seats and gas from the chain, work from the running node."""
    home = home_path(args)
    chain = connect(load_network(args))
    head, hot = chain.head(), KeyRing.address_of(home)
    seats = seats_of(chain, head, hot=hot)
    gas = chain.eth(hot, at=head)
    try:
        shown = read(home)
        work = f"{len(shown['duties'])} duties, {_freshness(shown)}"
    except HeldoutError as problem:
        shown, work = None, problem.message
    rows = [
        (n, view.cold, format_tokens(view.stake), "exiting" if view.exiting_at else "live") for n, view in seats.items()
    ]
    record = {
        "hot": hot,
        "gas": str(gas),
        "seats": [
            {"seat": n, "cold": v.cold, "stake": amount(v.stake), "live": not v.exiting_at} for n, v in seats.items()
        ],
        "node": shown,
    }
    lines = (f"hot key  {hot}", f"gas      {format_gas(gas)}", f"node     {work}", "")
    emit(args, record, *lines, *table(("seat", "cold key", "stake", "state"), rows))
    return 0
