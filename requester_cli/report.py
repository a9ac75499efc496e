"""A job in words and in JSON: where it stands, until when, what happens if nobody acts, and where every token went."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from heldout.market.console import amount, table
from heldout.market.lifecycle import (
    REQUESTER,
    VACANT,
    ChainEvent,
    JobState,
    Movement,
    Outcome,
    Purpose,
    State,
    deadline_move,
    if_nobody_acts,
)
from heldout.market.messages import describe_score, hexed, unpack_vote
from heldout.market.money import format_tokens
from heldout.market.spans import format_span
from heldout.market.terms import Timestamp
from heldout.requester_cli.duties import Offer

_ZERO = "0x" + "00" * 20


def as_json(job: JobState) -> dict[str, Any]:
    """Everything the chain says of a job. Amounts are in both units, scores in ppm and in words."""
    terms = job.terms
    return {
        "id": job.id,
        "state": job.state.name.lower(),
        "outcome": job.outcome.name.lower(),
        "round": job.round,
        "deadline": job.deadline,
        "requester": terms.requester,
        "metric": terms.metric_name,
        "floor": terms.floor,
        "target": terms.target,
        "price_cap": amount(terms.priceCap),
        "escrow": amount(terms.escrow),
        "task": terms.taskHash.hex(),
        "data_root": terms.dataRoot.hex(),
        "if_nobody_acts": if_nobody_acts(job),
        "lanes": [
            {
                "provider": lane.provider,
                "price": amount(lane.price),
                "submitted": lane.word is not None,
                "score": None if score is None else describe_score(score),
                "score_ppm": score,
                "payout": amount(lane.payout),
            }
            for lane, score in zip(job.lanes, _scores(job), strict=True)
        ],
        "rounds": [
            {
                "seats": [None if seat == VACANT else seat for seat in round_.seats],
                "committed": len(round_.commits),
                "votes": {
                    place: [describe_score(v) for v in unpack_vote(vote, len(job.lanes))]
                    for place, vote in sorted(round_.votes.items())
                },
                "result": None if round_.result is None else hexed(round_.result),
            }
            for round_ in job.rounds
        ],
        "money": [_movement_json(row) for row in job.money],
        "sums": job.sums,
        "posted": {"tx": job.posted.tx, "block": job.posted.block},
    }


def summary_json(job: JobState) -> dict[str, Any]:
    """One job of a list."""
    keys = ("id", "state", "outcome", "round", "deadline", "requester", "metric", "floor", "target", "price_cap")
    whole = as_json(job)
    return {key: whole[key] for key in keys} | {"lanes": len(job.lanes) or job.terms.lanes}


def _scores(job: JobState) -> list[int | None]:
    """Final scores, or those that stand so far."""
    standing = job.standing
    return [
        lane.score if lane.score is not None else (standing[i] if standing else None)
        for i, lane in enumerate(job.lanes)
    ]


def _movement_json(row: Movement) -> dict[str, Any]:
    return {
        "direction": "in" if row.incoming else "out",
        "account": row.account,
        "purpose": _purpose(row),
        "amount": amount(row.amount),
        "tx": row.tx,
    }


def _purpose(row: Movement) -> str:
    return "slash" if row.purpose is None else _label(row.purpose, row.incoming)


def _label(purpose: int, incoming: bool) -> str:
    """What money was for. What comes in to be refunded, if it is not spent, is the escrow."""
    return "escrow" if incoming and purpose == Purpose.REFUND else Purpose(purpose).name.lower()


# ------------------------------------------------------------------------------------------------ for people


def lines(job: JobState, now: Timestamp) -> list[str]:
    """One job for a person, the money table last."""
    terms = job.terms
    state = f"{job.state.name.lower()}" + (f", {job.outcome.name.lower()}" if job.final else "")
    shown = [
        f"job       {job.id}",
        f"state     {state}" + (f" (round {job.round})" if job.round else ""),
        f"asks for  {terms.metric_name}: floor {describe_score(terms.floor)}, target {describe_score(terms.target)}",
        f"pays      up to {format_tokens(terms.priceCap)} for each of {len(job.lanes) or terms.lanes} lane(s)",
    ]
    if not job.final:
        shown += [f"deadline  {clock(job.deadline)}, {_left(job, now)}", f"then      {if_nobody_acts(job)}"]
    if job.lanes:
        rows = [
            (i, lane.provider, format_tokens(lane.price), _score_text(score, lane.word), format_tokens(lane.payout))
            for i, (lane, score) in enumerate(zip(job.lanes, _scores(job), strict=True))
        ]
        shown += ["", *table(("lane", "provider", "bid", "score", "paid"), rows)]
    for number, round_ in enumerate(job.rounds, 1):
        if round_.seats:
            seats = ", ".join("vacant" if seat == VACANT else str(seat) for seat in round_.seats)
            done = f"{len(round_.commits)} committed, {len(round_.votes)} revealed"
            shown.append(f"round {number}: seats {seats}; {done}")
    return [*shown, "", *money_lines(job)]


def money_lines(job: JobState) -> list[str]:
    """What came in and what went out, to the last unit (P1.4)."""
    rows = [
        (
            "in" if row.incoming else "out",
            _purpose(row),
            "burned" if row.account == _ZERO else row.account,
            format_tokens(row.amount),
        )
        for row in job.money
    ]
    held = job.money_in - job.money_out
    end = "in = out" if held == 0 else f"held by the market: {format_tokens(held)}"
    total = f"in {format_tokens(job.money_in)}   out {format_tokens(job.money_out)}   {end}"
    return [*table(("money", "for", "account", "amount"), rows), total]


def _score_text(score: int | None, word: bytes | None) -> str:
    return describe_score(score) if score is not None else ("submitted" if word else "–")


def _left(job: JobState, now: Timestamp) -> str:
    if deadline_move(job, now):
        return "passed: anyone may move the job on"
    return f"in {format_span(job.deadline - now)}"


def clock(timestamp: int) -> str:
    """A block's time in UTC."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# -------------------------------------------------------------------------------------------------- narration


def narrate(event: ChainEvent) -> str:
    """One chain event as one line of `job watch`."""
    say = _SENTENCES.get(event.name)
    return say(event.args) if say else event.name


def _party(party: int) -> str:
    return "the requester" if party == REQUESTER else f"lane {party}"


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
    "Demanded": lambda a: f"{_party(a['party'])} is demanded to deliver until {clock(a['deadline'])}",
    "Answered": lambda a: f"{_party(a['party'])} answered on chain",
    "Unanswered": lambda a: f"{_party(a['party'])} did not answer",
    "Appealed": lambda a: f"round {a['round']} called by {a['by']}, bond {format_tokens(a['bond'])}",
    "Locked": lambda a: f"in   {format_tokens(a['amount'])} {_label(a['purpose'], True)} from {a['from']}",
    "Paid": lambda a: f"out  {format_tokens(a['amount'])} {_label(a['purpose'], False)} to {a['to']}",
    "Slashed": lambda a: f"seat {a['seat']} slashed by {format_tokens(a['amount'])}",
    "Artifact": lambda a: f"artifact {hexed(a['artifact'])} made by {a['maker']}, owned by {a['owner']}",
    "LaneSettled": lambda a: f"lane {a['lane']}: {describe_score(a['score'])}, paid {format_tokens(a['payout'])}",
    "Settled": lambda a: f"settled: {Outcome(a['outcome']).name.lower()}",
}


# -------------------------------------------------------------------------------------------------------- bids


def offer_json(offer: Offer) -> dict[str, Any]:
    return {
        "provider": offer.bid.provider,
        "price": amount(offer.bid.price),
        "valid_until": offer.bid.validUntil,
    }


def offer_lines(offers: Sequence[Offer]) -> list[str]:
    """Bids that could be accepted now; nothing if there are none."""
    if not offers:
        return []
    rows = [(o.bid.provider, format_tokens(o.bid.price), clock(o.bid.validUntil)) for o in offers]
    return ["", *table(("bid by", "price", "valid until"), rows)]
