"""An artifact and what it was made of, as a tree of text and as JSON. Every line leads to a hash or a transaction."""

from collections.abc import Iterator
from typing import Any

from heldout.market.lifecycle import Outcome
from heldout.market.messages import HIGHEST_SCORE, describe_score, hexed
from heldout.market.money import format_tokens
from heldout.market.texts import tr
from heldout.market.valuechain.graph import Artifact, Parent, ValueChain

UNIT = "HELD"


def tree(chain: ValueChain, artifact: str) -> list[str]:
    """The artifact, and under it its parents, theirs, and so on; one that was told before is only named again."""
    return list(_branch(chain, chain.artifacts[artifact], set()))


def _branch(chain: ValueChain, made: Artifact, told: set[str]) -> Iterator[str]:
    told.add(made.id)
    yield f"{made.id}"
    children = chain.children(made.id)
    facts = [
        ("score", describe(made)),
        ("asked", f"{made.requester}  posted in {made.posted}"),
        ("trained", f"{made.maker}  submitted in {made.submitted}"),
        *(("measured", line) for line in measurement_lines(made)),
        ("cost", f"{cost(made)}  settled in {made.settled}"),
        ("weights", f"{hexed(made.entry.weights_hash)}" if made.entry else "not claimed yet: `heldout chain claim`"),
        ("owner", ownership(made)),
        ("task", hexed(made.task)),
        ("data", hexed(made.data)),
        *(("used by", child.id) for child in children),
    ]
    for position, (name, text) in enumerate(facts):
        elbow = "└─" if position == len(facts) - 1 and not made.parents else "├─"
        yield f"{elbow} {name:8}  {text}"
    for position, parent in enumerate(made.parents):
        last = position == len(made.parents) - 1
        yield f"{'└─' if last else '├─'} made of   {royalty(chain, made, parent)}"
        for line in _parent(chain, parent, told):
            yield f"{'   ' if last else '│  '}{line}"


def _parent(chain: ValueChain, parent: Parent, told: set[str]) -> Iterator[str]:
    known = chain.artifacts.get(parent.artifact)
    if known is None:
        yield f"{parent.artifact}  (not of this market)"
    elif parent.artifact in told:
        yield f"{parent.artifact}  (see above)"
    else:
        yield from _branch(chain, known, told)


def describe(made: Artifact) -> str:
    """Score, and how it came about (P7.1)."""
    score = f"{made.metric} {describe_score(made.score)}" if made.score <= HIGHEST_SCORE else "no score"
    return f"{score}, {basis(made)}"


def basis(made: Artifact) -> str:
    """Who stands for the score."""
    if made.measured:
        return tr("measured by a committee in round %(round)s", round=made.round)
    if made.outcome is Outcome.AGREED:
        return tr("agreed between requester and providers, measured by nobody")
    return tr("never measured: the requester withheld the held-out keys")


def measurement_lines(made: Artifact) -> list[str]:
    """One line a seat that opened its vote in the round that decided."""
    return [
        f"seat {each.seat} of {each.owner or 'an unknown owner'}: {describe_score(each.value)}  revealed in {each.tx}"
        for each in made.measurements
    ]


def cost(made: Artifact) -> str:
    """What was paid for it, and to whom."""
    parts = tr("%(amount)s to the maker", amount=format_tokens(made.payout - made.royalties))
    if made.parents:
        parts += tr(", %(amount)s in royalties", amount=format_tokens(made.royalties))
    fees = tr("fees %(fees)s", fees=f"{format_tokens(made.fees)} {UNIT}")
    shared = tr(" (of all %(lanes)s lanes)", lanes=made.lanes) if made.lanes > 1 else ""
    return f"{format_tokens(made.payout)} {UNIT} ({parts}), {fees}{shared}"


def ownership(made: Artifact) -> str:
    if made.entry is None:
        return f"{made.owner}  will be, once it is claimed"
    return f"{made.owner}  claimed in {made.entry.tx}, suggests a royalty of {percent(made.entry.suggested)}"


def royalty(chain: ValueChain, made: Artifact, parent: Parent) -> str:
    """What the terms pay to a parent, and how that differs from what its owner suggests, which binds nobody (P7.2)."""
    about = {"share": percent(parent.bps), "amount": f"{format_tokens(parent.royalty)} {UNIT}", "payee": parent.payee}
    paid = tr("%(share)s of the payout, %(amount)s, to %(payee)s", **about)
    known = chain.artifacts.get(parent.artifact)
    if known is None or known.entry is None:
        return f"{paid}; {tr('no suggestion is known')}"
    difference = parent.bps - known.entry.suggested
    if difference == 0:
        return f"{paid}; {tr('as its owner suggests')}"
    values = {"difference": percent(abs(difference)), "suggested": percent(known.entry.suggested)}
    if difference > 0:
        return f"{paid}; {tr('%(difference)s more than the %(suggested)s its owner suggests', **values)}"
    return f"{paid}; {tr('%(difference)s less than the %(suggested)s its owner suggests', **values)}"


def percent(bps: int) -> str:
    return f"{bps / 100:g} %"


# ----------------------------------------------------------------------------------------------------- JSON


def as_json(chain: ValueChain, artifact: str) -> dict[str, Any]:
    """The artifact and all it was made of, as far as this market knows; amounts in wei as strings, scores in ppm."""
    ids = [id_ for generation in chain.generations(artifact) for id_ in generation]
    return {
        "artifact": artifact,
        "artifacts": [as_record(chain, chain.artifacts[id_]) for id_ in ids if id_ in chain.artifacts],
        "unknown": [id_ for id_ in ids if id_ not in chain.artifacts],
    }


def as_record(chain: ValueChain, made: Artifact) -> dict[str, Any]:
    """One artifact alone."""
    entry = made.entry
    return {
        "id": made.id,
        "job": made.job,
        "lane": made.lane,
        "metric": made.metric,
        "score": made.score if made.score <= HIGHEST_SCORE else None,
        "basis": "measured" if made.measured else "agreed" if made.outcome is Outcome.AGREED else "unmeasured",
        "requester": made.requester,
        "maker": made.maker,
        "owner": made.owner,
        "round": made.round,
        "measurements": [
            {"seat": each.seat, "owner": each.owner, "value": describe_score(each.value), "tx": each.tx}
            for each in made.measurements
        ],
        "price": str(made.price),
        "payout": str(made.payout),
        "royalties": str(made.royalties),
        "fees": str(made.fees),
        "task": hexed(made.task),
        "data": hexed(made.data),
        "word": hexed(made.word),
        "weights": hexed(entry.weights_hash) if entry else None,
        "suggested_bps": entry.suggested if entry else None,
        "posted": made.posted,
        "submitted": made.submitted,
        "settled": made.settled,
        "claimed": entry.tx if entry else None,
        "parents": [
            {"artifact": p.artifact, "payee": p.payee, "bps": p.bps, "royalty": str(p.royalty)} for p in made.parents
        ],
        "children": [child.id for child in chain.children(made.id)],
    }
