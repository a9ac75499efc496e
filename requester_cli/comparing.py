"""Where the market service tells another story than the chain: what `--trustless` asks, having read the chain alone.

Both are flattened to names and plain values, `lanes.0.price` and so on, as of the block that the service stands at, and
laid side by side. A service that is behind is not lying; one that differs about a block it has seen is, or is broken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from heldout.market.chain import Chain
from heldout.market.index_client import IndexClient, Json
from heldout.market.lifecycle import JobState, fold
from heldout.market.messages import hexed

_OF_LANE = ("provider", "price", "score", "payout", "word")


class Difference(NamedTuple):
    """One thing that the service says otherwise. None: it is not said at all."""

    what: str
    chain: str | None
    service: str | None


class Compared(NamedTuple):
    """`things` were laid side by side, as of block `block`; the chain's head was `behind` blocks further."""

    differences: list[Difference]
    things: int
    block: int
    behind: int


def compare_job(chain: Chain, market: IndexClient, job: JobState) -> Compared:
    """One job with its terms, lanes, rounds, votes and money. Raises ServiceProblem, Refused, ChainProblem."""
    block, behind = _common_block(chain, market)
    events = chain.events(job.posted.block, block, job=job.id)
    said: Json = {}
    if events:
        said = market.job(job.id) | {"money": market.money(job.id).get("money")}
    known = dict(_flat("", _told(fold(events)[job.id]))) if events else {}
    return Compared(_differences(known, dict(_flat("", said))), len(known), block, behind)


def compare_jobs(chain: Chain, market: IndexClient) -> Compared:
    """Every job's state, outcome and round. Raises ServiceProblem, Refused, ChainProblem."""
    block, behind = _common_block(chain, market)
    folded = fold(chain.events(chain.network.deploy_block, block))
    known = {f"{id_[:10]}…{key}": value for id_, job in folded.items() for key, value in _brief(job)}
    said = {
        f"{str(row.get('id'))[:10]}…{key}": _plain(row.get(key))
        for row in market.walk("jobs")
        for key in ("state", "outcome", "round")
        if isinstance(row.get("posted"), dict) and row["posted"].get("block", 0) <= block
    }
    invented = [Difference(name, None, value) for name, value in said.items() if name not in known]
    return Compared([*_differences(known, said), *invented], len(known), block, behind)


def _common_block(chain: Chain, market: IndexClient) -> tuple[int, int]:
    head, stands = chain.head().number, market.network().get("block")
    block = min(head, stands) if isinstance(stands, int) else 0
    return block, head - block


def _differences(known: Mapping[str, str], said: Mapping[str, str]) -> list[Difference]:
    """Of everything the chain says."""
    return [Difference(name, value, said.get(name)) for name, value in known.items() if said.get(name) != value]


def _brief(job: JobState) -> list[tuple[str, str]]:
    return [("state", job.state.name.lower()), ("outcome", job.outcome.name.lower()), ("round", str(job.round))]


def _told(job: JobState) -> Json:
    """A job in the words of the service's API."""
    return {
        **dict(_brief(job)),
        "id": job.id,
        "requester": job.terms.requester,
        "deadline": job.deadline,
        "terms": asdict(job.terms),
        "lanes": [
            {name: getattr(lane, name) for name in ("provider", "price", "score", "payout", "word")}
            for lane in job.lanes
        ],
        "rounds": [
            {
                "seats": list(round_.seats),
                "result": round_.result,
                "votes": [
                    {"place": place, "commit": round_.commits.get(place), "vote": round_.votes.get(place)}
                    for place in sorted(round_.commits.keys() | round_.votes.keys())
                ],
            }
            for round_ in job.rounds
        ],
        "money": [{"incoming": row.incoming, "account": row.account, "amount": row.amount} for row in job.money],
    }


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Leaves with their paths."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _flat(f"{name}.{key}".lstrip("."), member)
    elif isinstance(value, list | tuple):
        for place, member in enumerate(value):
            yield from _flat(f"{name}.{place}", member)
    else:
        yield name, _plain(value)


def _plain(value: Any) -> str:
    return hexed(value) if isinstance(value, bytes) else str(value)
