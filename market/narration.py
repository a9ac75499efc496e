"""What happened to a job, in words: the same ones in the command line, on the pages and in the feeds."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from heldout.market.lifecycle import ChainEvent, Movement, Outcome, Purpose, State, party_name
from heldout.market.messages import describe_score, hexed, unpack_vote
from heldout.market.money import format_tokens
from heldout.market.texts import later, tr

BURNED: Final = "0x" + "00" * 20
"""The account of money that was burned."""


def narrate(event: ChainEvent) -> str:
    """One chain event as one line."""
    say = _SENTENCES.get(event.name)
    return say(event.args) if say else event.name


def clock(timestamp: int) -> str:
    """A block's time in UTC."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def purpose_of(row: Movement) -> str:
    """What a row of the money table was for, in one word of the code's."""
    return later("slash") if row.purpose is None else purpose_name(row.purpose, row.incoming)


def purpose_name(purpose: int, incoming: bool) -> str:
    """What comes in to be refunded, if it is not spent, is the escrow."""
    return later("escrow") if incoming and purpose == Purpose.REFUND else Purpose(purpose).name.lower()


def _moved(args: dict[str, Any]) -> str:
    state = State(args["state"])
    parts = [tr(state.name.lower())]
    if args["round"]:
        parts.append(tr("round %(round)s", round=args["round"]))
    if state is not State.SETTLED:
        parts.append(tr("until %(time)s", time=clock(args["deadline"])))
    return ", ".join(parts)


def _accepted(args: dict[str, Any]) -> str:
    bids = (
        tr("%(provider)s for %(price)s", provider=bid["provider"], price=format_tokens(bid["price"]))
        for bid in args["bids"]
    )
    return tr("accepted: %(bids)s", bids=", ".join(bids))


def _money(args: dict[str, Any], incoming: bool) -> dict[str, object]:
    purpose = tr(purpose_name(args["purpose"], incoming))
    return {**args, "amount": format_tokens(args["amount"]), "purpose": purpose}


def _first(word: bytes) -> str:
    return describe_score(unpack_vote(word, 1)[0])


def _demanded(args: dict[str, Any]) -> str:
    values = {"party": party_name(args["party"]), "time": clock(args["deadline"])}
    return tr("%(party)s is demanded to deliver until %(time)s", **values)


def _lane_settled(args: dict[str, Any]) -> str:
    values = {"score": describe_score(args["score"]), "payout": format_tokens(args["payout"])}
    return tr("lane %(lane)s: %(score)s, paid %(payout)s", lane=args["lane"], **values)


_SENTENCES: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "Posted": lambda a: tr("posted"),
    "Accepted": _accepted,
    "Moved": _moved,
    "Submitted": lambda a: tr("lane %(lane)s submitted by %(provider)s", **a),
    "Drawn": lambda a: tr(
        "round %(round)s: seats %(seats)s drawn", round=a["round"], seats=", ".join(map(str, a["seats"]))
    ),
    "Reseeded": lambda a: tr("round %(round)s: the seed was lost, another block draws", **a),
    "Committed": lambda a: tr("seat %(seat)s committed", **a),
    "Revealed": lambda a: tr("seat %(seat)s revealed %(score)s", seat=a["seat"], score=_first(a["vote"])),
    "RoundScored": lambda a: tr(
        "round %(round)s has a majority: %(score)s", round=a["round"], score=_first(a["result"])
    ),
    "Demanded": _demanded,
    "Answered": lambda a: tr("%(party)s answered on chain", party=party_name(a["party"])),
    "Unanswered": lambda a: tr("%(party)s did not answer", party=party_name(a["party"])),
    "Appealed": lambda a: tr(
        "round %(round)s called by %(by)s, bond %(bond)s", **{**a, "bond": format_tokens(a["bond"])}
    ),
    "Locked": lambda a: tr("in   %(amount)s %(purpose)s from %(from)s", **_money(a, True)),
    "Paid": lambda a: tr("out  %(amount)s %(purpose)s to %(to)s", **_money(a, False)),
    "Slashed": lambda a: tr("seat %(seat)s slashed by %(amount)s", seat=a["seat"], amount=format_tokens(a["amount"])),
    "Artifact": lambda a: tr(
        "artifact %(artifact)s made by %(maker)s, owned by %(owner)s", **{**a, "artifact": hexed(a["artifact"])}
    ),
    "LaneSettled": _lane_settled,
    "Settled": lambda a: tr("settled: %(outcome)s", outcome=tr(Outcome(a["outcome"]).name.lower())),
}
