"""A job in words and in JSON: where it stands, until when, what happens if nobody acts, and where every token went."""

from collections.abc import Sequence
from typing import Any

from heldout.market.calling import is_called
from heldout.market.console import amount, table
from heldout.market.lifecycle import VACANT, JobState, Movement, deadline_move, if_nobody_acts
from heldout.market.messages import describe_score, hexed, unpack_vote
from heldout.market.money import format_tokens
from heldout.market.narration import BURNED, clock, purpose_of
from heldout.market.roads import Roads, describe
from heldout.market.runrecord import RunRecord
from heldout.market.spans import format_span
from heldout.market.terms import Timestamp
from heldout.requester_cli.duties import Offer


def state_of(job: JobState) -> str:
    """In a word."""
    return "called" if is_called(job) else job.state.name.lower()


def as_json(job: JobState) -> dict[str, Any]:
    """Everything the chain says of a job. Amounts are in both units, scores in ppm and in words."""
    terms = job.terms
    return {
        "id": job.id,
        "state": state_of(job),
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
        "if_nobody_acts": _then(job),
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
        "purpose": purpose_of(row),
        "amount": amount(row.amount),
        "tx": row.tx,
    }


# ------------------------------------------------------------------------------------------------ for people


def lines(job: JobState, now: Timestamp, roads: Roads | None = None) -> list[str]:
    """One job for a person, the money table last."""
    terms = job.terms
    state = state_of(job) + (f", {job.outcome.name.lower()}" if job.final else "")
    shown = [
        f"job       {job.id}",
        f"state     {state}" + (f" (round {job.round})" if job.round else ""),
        f"asks for  {terms.metric_name}: floor {describe_score(terms.floor)}, target {describe_score(terms.target)}",
        f"pays      up to {format_tokens(terms.priceCap)} for each of {len(job.lanes) or terms.lanes} lane(s)",
    ]
    if not job.final:
        shown += [f"deadline  {clock(job.deadline)}, {_left(job, now)}", f"then      {_then(job)}"]
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
    return [*shown, *(describe(roads) if roads else ()), "", *money_lines(job)]


def _then(job: JobState) -> str:
    return "the call is over; nothing was locked" if is_called(job) else if_nobody_acts(job)


def money_lines(job: JobState) -> list[str]:
    """What came in and what went out, to the last unit (P1.4)."""
    rows = [
        (
            "in" if row.incoming else "out",
            purpose_of(row),
            "burned" if row.account == BURNED else row.account,
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


# -------------------------------------------------------------------------------------------------------- bids


def offer_json(offer: Offer) -> dict[str, Any]:
    return {
        "provider": offer.bid.provider,
        "price": amount(offer.bid.price),
        "valid_until": offer.bid.validUntil,
    }


def run_lines(runs: Sequence[RunRecord]) -> list[str]:
    """How trainings ran, as their providers signed it."""
    if not runs:
        return []
    rows = [
        (
            run.lane,
            run.killed_by or f"exit {run.exit_code}",
            f"{run.wall_ms / 1000:.1f} s",
            f"{run.cpu_ms / 1000:.1f} s",
            f"{run.peak_memory / 2**20:.0f} MiB",
            run.tier,
            f"{run.image[:19]}…",
            f"{run.log[:12]}…",
        )
        for run in runs
    ]
    head = ("lane", "ended", "wall", "cpu", "peak", "tier", "image", "log")
    return ["", "trained, by the providers' signed word", *table(head, rows)]


def offer_lines(offers: Sequence[Offer]) -> list[str]:
    """Bids that could be accepted now; nothing if there are none."""
    if not offers:
        return []
    rows = [(o.bid.provider, format_tokens(o.bid.price), clock(o.bid.validUntil)) for o in offers]
    return ["", *table(("bid by", "price", "valid until"), rows)]
