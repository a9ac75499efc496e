"""What happened to a job, in words: the same ones in the command line, on the pages and in the feeds."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from heldout.market.lifecycle import REQUESTER, ChainEvent, Movement, Outcome, Purpose, State
from heldout.market.messages import describe_score, hexed, unpack_vote
from heldout.market.money import format_tokens

BURNED: Final = "0x" + "00" * 20
"""The account of money that was burned."""


def narrate(event: ChainEvent) -> str:
    """One chain event as one line."""
    say = _SENTENCES.get(event.name)
    return say(event.args) if say else event.name


def clock(timestamp: int) -> str:
    """A block's time in UTC."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def party_name(party: int) -> str:
    """A demanded party: lanes have numbers."""
    return "the requester" if party == REQUESTER else f"lane {party}"


def purpose_of(row: Movement) -> str:
    """What a row of the money table was for."""
    return "slash" if row.purpose is None else purpose_name(row.purpose, row.incoming)


def purpose_name(purpose: int, incoming: bool) -> str:
    """What comes in to be refunded, if it is not spent, is the escrow."""
    return "escrow" if incoming and purpose == Purpose.REFUND else Purpose(purpose).name.lower()


def _moved(args: dict[str, Any]) -> str:
    state = State(args["state"])
    round_ = f", round {args['round']}" if args["round"] else ""
    until = "" if state is State.SETTLED else f", until {clock(args['deadline'])}"
    return f"{state.name.lower()}{round_}{until}"


def _accepted(args: dict[str, Any]) -> str:
    bids = ", ".join(f"{bid['provider']} for {format_tokens(bid['price'])}" for bid in args["bids"])
    return f"accepted: {bids}"


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "Posted": lambda a: "posted",
    "Accepted": _accepted,
    "Moved": _moved,
    "Submitted": lambda a: f"lane {a['lane']} submitted by {a['provider']}",
    "Drawn": lambda a: f"round {a['round']}: seats {', '.join(map(str, a['seats']))} drawn",
    "Reseeded": lambda a: f"round {a['round']}: the seed was lost, another block draws",
    "Committed": lambda a: f"seat {a['seat']} committed",
    "Revealed": lambda a: f"seat {a['seat']} revealed {describe_score(unpack_vote(a['vote'], 1)[0])}",
    "RoundScored": lambda a: f"round {a['round']} has a majority: {describe_score(unpack_vote(a['result'], 1)[0])}",
    "Demanded": lambda a: f"{party_name(a['party'])} is demanded to deliver until {clock(a['deadline'])}",
    "Answered": lambda a: f"{party_name(a['party'])} answered on chain",
    "Unanswered": lambda a: f"{party_name(a['party'])} did not answer",
    "Appealed": lambda a: f"round {a['round']} called by {a['by']}, bond {format_tokens(a['bond'])}",
    "Locked": lambda a: f"in   {format_tokens(a['amount'])} {purpose_name(a['purpose'], True)} from {a['from']}",
    "Paid": lambda a: f"out  {format_tokens(a['amount'])} {purpose_name(a['purpose'], False)} to {a['to']}",
    "Slashed": lambda a: f"seat {a['seat']} slashed by {format_tokens(a['amount'])}",
    "Artifact": lambda a: f"artifact {hexed(a['artifact'])} made by {a['maker']}, owned by {a['owner']}",
    "LaneSettled": lambda a: f"lane {a['lane']}: {describe_score(a['score'])}, paid {format_tokens(a['payout'])}",
    "Settled": lambda a: f"settled: {Outcome(a['outcome']).name.lower()}",
}
