"""Terms of a job with their defaults filled in, and their bounds (P1.5, P2.2, P5.6): pure.

What the contract would refuse is refused here first, with the line of the job file that says it. The command line and
the market service's wizard make their terms here, so that a page and `job post --dry-run` say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from heldout.market.chain.views import Parameters, Window
from heldout.market.manifest import Manifest
from heldout.market.money import Wei, format_tokens
from heldout.market.posting.jobfile import JobFile
from heldout.market.spans import format_span
from heldout.market.terms import METRICS, Address, JobTerms, scorer_id

_HEADER_ALLOWANCE = 4096
"""Bytes of a weights file's header beyond what names and shapes need, for another writer's spacing or metadata."""
_ENTRY_ALLOWANCE = 160


@dataclass(frozen=True)
class GraphFacts:
    """What the terms need to know of a graph."""

    operations_per_row: int
    weights_bytes: int
    """Upper bound of a safetensors file with exactly the graph's tensors."""

    @staticmethod
    def of(operations_per_row: int, weights: Mapping[str, Sequence[int]]) -> "GraphFacts":
        """`weights`: the shape of each float32 tensor to be submitted."""
        header = sum(len(name.encode()) + _ENTRY_ALLOWANCE for name in weights) + _HEADER_ALLOWANCE
        return GraphFacts(operations_per_row, header + sum(4 * prod(shape) for shape in weights.values()))


@dataclass(frozen=True)
class SealedData:
    """What a job's terms and a later `job check` need to know; the sealed bytes themselves lie beside it."""

    salt: bytes
    root: bytes
    shards: int
    shard_bytes: int
    rows: tuple[int, ...]
    """Rows of each shard."""
    source: str
    """SHA-256 over the source files, hex: tells whether the data has changed since."""

    def held_out_rows(self, held_out: int) -> int:
        """The most rows any draw of `held_out` shards can have."""
        return sum(sorted(self.rows, reverse=True)[:held_out])


def terms_of(
    job: JobFile,
    market: Parameters,
    manifest: Manifest,
    facts: GraphFacts,
    sealed: SealedData,
    requester: Address,
    wrap_key: bytes,
) -> JobTerms:
    """Raises BadJobFile for what the contract would refuse."""
    terms = _terms(job, market, manifest, facts, sealed, requester, wrap_key)
    _check_bounds(job, terms, market)
    return terms


def default_fee(job: JobFile, market: Parameters) -> Wei:
    """0.75 % of what all lanes may cost (P5.6), within the market's bounds."""
    fee = -(-job.pay.price * job.pay.lanes * 75 // 10_000)
    return Wei(min(max(fee, market.minimum_fee), market.seat_stake // 32))


def _terms(
    job: JobFile,
    market: Parameters,
    manifest: Manifest,
    facts: GraphFacts,
    sealed: SealedData,
    requester: Address,
    wrap_key: bytes,
) -> JobTerms:
    pay, windows = job.pay, job.deadlines
    fee = default_fee(job, market) if pay.fee is None else pay.fee
    bond = Wei(_fifth_up(pay.price * pay.lanes)) if pay.bond is None else pay.bond
    least_collateral = max(_fifth_up(pay.price), pay.validators * fee)
    return JobTerms(
        requester=requester,
        wrapKey=wrap_key,
        lanes=pay.lanes,
        priceCap=pay.price,
        floor=job.score.floor,
        target=job.score.target,
        floorPay=job.score.floor_pay,
        metric=METRICS[job.score.metric],
        scorer=scorer_id(job.score.scorer),
        operationCap=facts.operations_per_row * sealed.held_out_rows(job.held_out),
        shardBytes=sealed.shard_bytes,
        weightsBytes=facts.weights_bytes,
        taskHash=manifest.task_hash,
        dataRoot=sealed.root,
        shards=job.shards,
        heldOut=job.held_out,
        committee=pay.validators,
        fee=fee,
        bond=bond,
        collateral=Wei(least_collateral) if pay.collateral is None else pay.collateral,
        bidWindow=windows.bids,
        workWindow=windows.work,
        releaseWindow=windows.release,
        commitWindow=windows.commit,
        revealWindow=windows.reveal,
        challengeWindow=windows.challenge,
        salt=sealed.salt,
        parents=pay.royalties,
    )


def _fifth_up(amount: int) -> int:
    return -(-amount // 5)


# -------------------------------------------------------------------------------------------------- bounds


def _check_bounds(job: JobFile, terms: JobTerms, market: Parameters) -> None:
    """P1.5 and P2.2, as the contract will check them, and a fee that is worth a validator's while (P5.6)."""
    limits = market.limits
    windows = (limits.bid, limits.work, limits.release, limits.commit, limits.reveal, limits.challenge)
    names = ("bids", "work", "release", "commit", "reveal", "challenge")
    for name, window in zip(names, windows, strict=True):
        _check_window(job, name, getattr(job.deadlines, name), window)
    _check_fee(job, terms, market)
    value = terms.lanes * terms.priceCap
    _check_least(job, "bond", terms.bond, _fifth_up(value), "20 % of price × lanes")
    least = max(_fifth_up(terms.priceCap), terms.committee * terms.fee)
    _check_least(job, "collateral", terms.collateral, least, "20 % of price, or all fees if that is more")
    backed = market.seat_stake * (terms.committee + 1) // 4
    if value > backed:
        what = f"{terms.committee} seats back at most {format_tokens(backed)}, price × lanes is {format_tokens(value)}"
        raise job.error("pay", "price", what, hint="ask for more validators, or pay less", code="stake_too_small")
    sizes = [
        ("data", "path", terms.shardBytes, limits.shard_bytes, "bytes of a shard", "more shards, or less data"),
        ("task", "graph", terms.weightsBytes, limits.weights_bytes, "bytes of weights", "a smaller model"),
        (
            "task",
            "graph",
            terms.lanes * terms.operationCap,
            limits.operations_per_second * terms.commitWindow,
            "operations to score all lanes in the commit window",
            "a longer commit window, a smaller model, or fewer held-out rows",
        ),
    ]
    for section, key, size, greatest, what, hint in sizes:
        if size > greatest:
            raise job.error(section, key, f"{size} {what}: the market allows {greatest}", hint=hint)


def _check_window(job: JobFile, name: str, seconds: int, window: Window) -> None:
    if not window.least <= seconds <= window.greatest:
        bounds = f"{format_span(window.least)} to {format_span(window.greatest)}"
        raise job.error("deadlines", name, f"deadlines.{name}: this market allows {bounds}, not {format_span(seconds)}")


def _check_fee(job: JobFile, terms: JobTerms, market: Parameters) -> None:
    worth = -(-terms.lanes * terms.priceCap // 200)
    greatest = market.seat_stake // 32
    least = min(max(market.minimum_fee, worth), greatest)
    if terms.fee < least:
        what = f"pay.fee: {format_tokens(terms.fee)} is too low for the price: at least {format_tokens(least)}"
        raise job.error("pay", "fee", what, hint="0.5 % of price × lanes, and the market's minimum", code="fee_too_low")
    if terms.fee > greatest:
        what = f"pay.fee: {format_tokens(terms.fee)} is too high: at most {format_tokens(greatest)}"
        raise job.error("pay", "fee", what, hint="a 32nd of a seat's stake", code="fee_too_high")


def _check_least(job: JobFile, key: str, amount: Wei, least: int, rule: str) -> None:
    if amount < least:
        what = f"pay.{key}: {format_tokens(amount)} is too little: at least {format_tokens(least)}"
        raise job.error("pay", key, what, hint=rule, code=f"{key}_too_small")
