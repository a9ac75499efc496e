"""Chain events as stored text, and folded jobs and seats as rows. Pure, so that a rebuild gives the same rows.

Event arguments are stored as JSON from which the very same values come back: bytes are {"bytes": "0x…"}, everything
else is as JSON has it. What readers of the API see is `shown`: bytes as 0x-hex, amounts as decimal text in wei.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from heldout.market.jsontext import canonical_json
from heldout.market.lifecycle import ChainEvent, JobState
from heldout.market.messages import hexed
from heldout.market.terms import BlockNumber, Timestamp
from heldout.market.valuechain.folding import REGISTRY_EVENTS

Row = dict[str, Any]
_WIDE = frozenset({"price", "priceCap", "fee", "bond", "collateral", "amount", "payout", "nonce", "operationCap"})
"""Fields that may exceed 2**53, beyond which a JSON number is not exact everywhere: always text."""
_MONEY = ("Locked", "Paid", "Slashed")
_MOVES_OF = {"Deposited": "account", "Withdrawn": "account", "Staked": "cold", "Unstaked": "cold"}
"""Which argument of an event names whose free balance moves."""
SEAT_EVENTS = ("Staked", "Rotated", "Exiting", "Unstaked", "Slashed")


# ------------------------------------------------------------------------------------------------ events


def event_row(event: ChainEvent) -> Row:
    """A row of `events`."""
    return {
        "block": event.block,
        "log_index": event.log_index,
        "block_hash": event.block_hash,
        "tx": event.tx,
        "timestamp": event.timestamp,
        "name": event.name,
        "job": event.job,
        "seat": event.args.get("seat"),
        "account": event.args.get(_MOVES_OF.get(event.name, "")),
        "args": canonical_json(_stored(event.args)).decode(),
    }


def event_of(row: Any) -> ChainEvent:
    """The event a row of `events` was made of."""
    args = json.loads(row.args, object_hook=_unstored)
    place = (BlockNumber(row.block), row.block_hash, row.tx, row.log_index, Timestamp(row.timestamp))
    return ChainEvent(row.name, args, *place)


def _stored(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": hexed(value)}
    if isinstance(value, dict):
        return {key: _stored(member) for key, member in value.items()}
    return [_stored(member) for member in value] if isinstance(value, list | tuple) else value


def _unstored(members: dict[str, Any]) -> Any:
    return bytes.fromhex(members["bytes"][2:]) if members.keys() == {"bytes"} else members


def shown(value: Any) -> Any:
    """A value as the API gives it."""
    if isinstance(value, bytes):
        return hexed(value)
    if isinstance(value, dict):
        return {key: str(member) if key in _WIDE else shown(member) for key, member in value.items()}
    return [shown(member) for member in value] if isinstance(value, list | tuple) else value


# -------------------------------------------------------------------------------------------------- jobs


def job_rows(job: JobState, events: Sequence[ChainEvent]) -> dict[str, list[Row]]:
    """Every row about a job, by table. `events` are those the job was folded from; what the registry tells of it later
    changes none of its rows."""
    events = [event for event in events if event.name not in REGISTRY_EVENTS]
    origins = _origins(events)
    return {
        "jobs": [_job_row(job, events[-1])],
        "lanes": [
            {
                "job": job.id,
                "lane": index,
                "provider": lane.provider,
                "price": str(lane.price),
                "wrap_key": hexed(lane.wrap_key),
                "word": lane.word and hexed(lane.word),
                "score": lane.score,
                "payout": str(lane.payout),
                **_origin(origins["lane", index]),
            }
            for index, lane in enumerate(job.lanes)
        ],
        "rounds": [
            {
                "job": job.id,
                "round": number,
                "seed": hexed(round_.seed) if round_.seed else None,
                "seats": json.dumps(round_.seats),
                "result": round_.result and hexed(round_.result),
                "appellant": round_.appellant,
                **_origin(origins["round", number]),
            }
            for number, round_ in enumerate(job.rounds, 1)
        ],
        "votes": [row for number in range(1, len(job.rounds) + 1) for row in _vote_rows(job, number, origins)],
        "money": _money_rows(job, events),
        "artifacts": [_artifact_row(job, event) for event in events if event.name == "Artifact"],
        "parents": [
            {
                "job": job.id,
                "place": place,
                "artifact": hexed(parent.artifact),
                "payee": parent.payee,
                "bps": parent.bps,
                **_origin(job.posted),
            }
            for place, parent in enumerate(job.terms.parents)
        ],
    }


def _job_row(job: JobState, last: ChainEvent) -> Row:
    return {
        "id": job.id,
        "requester": job.terms.requester,
        "state": job.state.name.lower(),
        "outcome": job.outcome.name.lower(),
        "round": job.round,
        "deadline": job.deadline,
        "accept_block": job.accept_block,
        "seat_count": job.seat_count,
        "demanded": json.dumps(sorted(job.demanded)),
        "pending": json.dumps(sorted(job.pending)),
        "terms": canonical_json(shown(asdict(job.terms))).decode(),
        "metric": job.terms.metric,
        "price_cap": price_key(job.terms.priceCap),
        "task": hexed(job.terms.taskHash),
        "posted_tx": job.posted.tx,
        "posted_block": job.posted.block,
        "posted_index": job.posted.log_index,
        "posted_at": job.posted.timestamp,
        **_origin(last),
    }


def _vote_rows(job: JobState, number: int, origins: dict[tuple[Any, ...], ChainEvent]) -> list[Row]:
    round_ = job.rounds[number - 1]
    return [
        {
            "job": job.id,
            "round": number,
            "place": place,
            "seat": round_.seats[place] if place < len(round_.seats) else None,
            "commit": _hex_at(round_.commits, place),
            "vote": _hex_at(round_.votes, place),
            "evidence": _hex_at(round_.evidence, place),
            **_origin(origins["vote", number, place]),
        }
        for place in sorted(round_.commits.keys() | round_.votes.keys())
    ]


def _money_rows(job: JobState, events: Sequence[ChainEvent]) -> list[Row]:
    origins = [event for event in events if event.name in _MONEY]
    return [
        {
            "job": job.id,
            "row": index,
            "incoming": movement.incoming,
            "account": movement.account,
            "purpose": "slashed" if movement.purpose is None else movement.purpose.name.lower(),
            "amount": str(movement.amount),
            **_origin(origin),
        }
        for index, (movement, origin) in enumerate(zip(job.money, origins, strict=True))
    ]


def price_key(amount: int) -> str:
    """An amount of at most 96 bits as text that sorts like the number."""
    return f"{amount:029d}"


def _artifact_row(job: JobState, event: ChainEvent) -> Row:
    args = event.args
    return {
        "job": job.id,
        "lane": args["lane"],
        "artifact": hexed(args["artifact"]),
        "maker": args["maker"],
        "owner": args["owner"],
        "word": hexed(args["word"]),
        "task": hexed(args["taskHash"]),
        "data_root": hexed(args["dataRoot"]),
        "score": args["score"],
        "measured": args["measured"],
        **_origin(event),
    }


def _origins(events: Sequence[ChainEvent]) -> dict[tuple[Any, ...], ChainEvent]:
    """The last event that changed each lane, round and vote."""
    last: dict[tuple[Any, ...], ChainEvent] = {}
    for event in events:
        args = event.args
        if event.name == "Accepted":
            last.update({("lane", index): event for index in range(len(args["bids"]))})
        if "lane" in args:
            last["lane", args["lane"]] = event
        if "place" in args:
            last["vote", args["round"], args["place"]] = event
        elif "round" in args:
            last.update(
                {("round", number): event for number in range(1, args["round"]) if ("round", number) not in last}
            )
            last["round", args["round"]] = event
    return last


def _origin(event: ChainEvent) -> Row:
    return {"tx": event.tx, "block": event.block}


def _hex_at(values: dict[int, bytes], place: int) -> str | None:
    return hexed(values[place]) if place in values else None


# ------------------------------------------------------------------------------------------------- seats


def seat_row(seat: int, events: Sequence[ChainEvent]) -> Row | None:
    """The row of a seat after its SEAT_EVENTS; None if it was never staked. A used index begins anew at `Staked`."""
    row: Row | None = None
    for event in events:
        args = event.args
        if event.name == "Staked":
            row = {"seat": seat, "cold": args["cold"], "slashed": "0", "withdrawable_at": None, "unstaked": False}
            row["since"] = event.block
        if row is None:
            continue
        if event.name in ("Staked", "Rotated"):
            row |= {"hot": args["hot"], "wrap_key": hexed(args["wrapKey"])}
        elif event.name == "Slashed":
            row["slashed"] = str(int(row["slashed"]) + args["amount"])
        elif event.name == "Exiting":
            row["withdrawable_at"] = args["withdrawableAt"]
        else:
            row["unstaked"] = True
        row |= _origin(event)
    return row
