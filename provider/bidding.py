"""Whether to bid for a job, and how much: pure, and able to say which rule decided (P8; `heldout provider why`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from heldout.market.calling import is_called
from heldout.market.lifecycle import JobState, State
from heldout.market.manifest import STANDARD, Manifest
from heldout.market.money import Wei, format_gas, format_tokens
from heldout.market.spans import format_span
from heldout.market.terms import Address, Timestamp

HOUR = 3600
SPARE_WORK = 0.9
"""The part of the work window that training may fill: the rest is for fetching, sealing and two transactions."""

RENEWALS = 6
LEAST_VALID_S = 300
"""A bid for a call is good for a sixth of the bid window, and at least for so many seconds."""


class Rule(StrEnum):
    """Every reason not to bid. The words are those of `why`, the log and the metric `heldout_provider_refusals`."""

    NOT_OPEN = "not_open"
    BIDS_CLOSED = "bids_closed"
    OWN_JOB = "own_job"
    PROGRAMS_FAIL = "programs_fail"
    TASK_UNAVAILABLE = "task_unavailable"
    BAD_TASK = "bad_task"
    PLATFORM = "platform"
    CPUS = "cpus"
    MEMORY = "memory"
    DISK = "disk"
    GPUS = "gpus"
    TIER = "tier"
    TOO_LONG = "too_long"
    ABOVE_CAP = "above_cap"
    OWNER = "owner"
    IMAGE_MISSING = "image_missing"
    DATA_UNAVAILABLE = "data_unavailable"
    UNFUNDED = "unfunded"
    COLLATERAL = "collateral"
    GAS = "gas"
    BUSY = "busy"
    SANDBOX = "sandbox"


@dataclass(frozen=True)
class Offer:
    """What the owner of this machine asks and gives."""

    price: Wei
    """Per job-hour, of the `seconds` that the job reserves."""
    minimum: Wei
    """Per job, however short."""
    strict: Wei | None = None
    """As `price`, for jobs that ask for a kernel of their own; None: such jobs are not taken."""
    cpus: int = 1
    memory_bytes: int = 1 << 30
    disk_bytes: int = 1 << 30
    gpus: int = 0
    jobs: int = 1
    """At the same time."""
    failing: int = 2
    """Jobs of one requester whose program failed here, from which on it gets no bid; 0: it always may."""


@dataclass(frozen=True)
class Means:
    """What this node has at this moment."""

    me: Address
    platform: str
    """As in a manifest's `image`: `linux/amd64`."""
    free: Wei
    """In the market, usable as collateral."""
    gas: Wei
    gas_reserve: Wei
    busy: int
    """Jobs bound or bid for: each may need a place and collateral."""
    objection: str | None = None
    """Why the owner wants no new work now."""
    sandbox: bool = True
    """Whether the runner works."""
    tiers: frozenset[str] = frozenset()
    """Whose every layer this node has seen hold (`heldout provider doctor`)."""
    unfunded: str | None = None
    """Why the market would not take the job now, if it is only called for (P2.5): mostly for want of its escrow."""
    failures: int = 0
    """Of the requester's programs, since one of its jobs was trained here."""
    image_here: bool = True
    data_here: bool = True
    """Whether the stores hold the list of leaves and every sealed shard."""


@dataclass(frozen=True)
class Quote:
    """Bid this."""

    price: Wei
    valid_until: Timestamp


@dataclass(frozen=True)
class Refusal:
    """Do not bid, because of this."""

    rule: Rule
    text: str


def price_up(offer: Offer, seconds: int, royalty_bps: int, tier: str = STANDARD) -> Wei:
    """The bid whose payout, after royalties to parents, covers the reserved time; rounded up."""
    hourly = offer.price if tier == STANDARD or offer.strict is None else offer.strict
    net = max(offer.minimum, -(-hourly * seconds // HOUR))
    return Wei(-(-net * 10_000 // (10_000 - royalty_bps)))


def judge(job: JobState, task: Manifest | Refusal, offer: Offer, means: Means, now: Timestamp) -> Quote | Refusal:
    """The first rule that speaks against bidding, or the bid. `task` is the manifest, or why there is none."""
    about_task = [task] if isinstance(task, Refusal) else _against_this_bid(job, task, offer, means)
    for refusal in chain(_against_any_bid(job, means, now), about_task):
        return refusal
    assert isinstance(task, Manifest), "a task that is a refusal was returned above"
    return Quote(_price(job, task, offer), _valid_until(job, now))


def without_room(job: JobState, needed: int) -> Refusal | None:
    """The last rule, asked of a job that would get a bid: to read a graph takes a process of its own."""
    if needed <= job.terms.weightsBytes:
        return None
    text = f"its graph's tensors may need {needed:,} bytes, its terms allow {job.terms.weightsBytes:,}"
    return Refusal(Rule.BAD_TASK, text)


def _valid_until(job: JobState, now: Timestamp) -> Timestamp:
    """Of a bid for a call only for a while, and then anew: its requester may have withdrawn the money (P2.5)."""
    if not is_called(job):
        return job.deadline
    return Timestamp(min(job.deadline, now + valid_for(job)))


def valid_for(job: JobState) -> int:
    """Seconds that a bid for a call is good for."""
    return max(LEAST_VALID_S, job.terms.bidWindow // RENEWALS)


def _price(job: JobState, task: Manifest, offer: Offer) -> Wei:
    royalties = sum(parent.bps for parent in job.terms.parents)
    return price_up(offer, task.resources.seconds, royalties, task.resources.tier)


def _against_any_bid(job: JobState, means: Means, now: Timestamp) -> Iterator[Refusal]:
    if job.state is not State.OPEN:
        yield Refusal(Rule.NOT_OPEN, f"the job is {job.state.name.lower()}")
    if now >= job.deadline:
        yield Refusal(Rule.BIDS_CLOSED, "the bid window is over")
    if job.terms.requester.lower() == means.me.lower():
        yield Refusal(Rule.OWN_JOB, "this node's own key posted it")


def _against_this_bid(job: JobState, task: Manifest, offer: Offer, means: Means) -> Iterator[Refusal]:
    """Rules that no waiting changes come first, those of the moment last."""
    needs, terms = task.resources, job.terms
    if 0 < offer.failing <= means.failures:
        text = f"the programs of {means.failures} jobs of this requester failed here, as many as [offer] failing allows"
        yield Refusal(Rule.PROGRAMS_FAIL, text)
    if means.platform not in task.image:
        yield Refusal(Rule.PLATFORM, f"needs {' or '.join(sorted(task.image))}, this machine is {means.platform}")
    for rule, needed, given in (
        (Rule.CPUS, needs.cpus, offer.cpus),
        (Rule.MEMORY, needs.memory_bytes, offer.memory_bytes),
        (Rule.DISK, needs.disk_bytes, offer.disk_bytes),
        (Rule.GPUS, needs.gpus, offer.gpus),
    ):
        if needed > given:
            yield Refusal(rule, f"needs {needed:,} {rule}, this node offers {given:,}")
    yield from _against_this_tier(needs.tier, offer, means)
    if needs.seconds > terms.workWindow * SPARE_WORK:
        window = format_span(terms.workWindow)
        yield Refusal(Rule.TOO_LONG, f"{format_span(needs.seconds)} of training do not fit a window of {window}")
    price = _price(job, task, offer)
    if price > terms.priceCap:
        text = f"this node asks {format_tokens(price)}, the job pays at most {format_tokens(terms.priceCap)}"
        yield Refusal(Rule.ABOVE_CAP, text)
    yield from _for_the_moment(job, offer, means)


def _against_this_tier(tier: str, offer: Offer, means: Means) -> Iterator[Refusal]:
    """What was not seen to hold is not offered."""
    if tier not in means.tiers:
        yield Refusal(Rule.TIER, f"asks for the {tier} tier, which this node has not shown: `heldout provider doctor`")
    elif tier != STANDARD and offer.strict is None:
        yield Refusal(Rule.TIER, f"asks for the {tier} tier, and there is no [pay] {tier} in provider.toml")


def _for_the_moment(job: JobState, offer: Offer, means: Means) -> Iterator[Refusal]:
    if means.objection:
        yield Refusal(Rule.OWNER, means.objection)
    if means.unfunded:
        yield Refusal(Rule.UNFUNDED, f"the market would not take the job that is called for: {means.unfunded}")
    if not means.image_here:
        yield Refusal(Rule.IMAGE_MISSING, "the job's image is not on this machine")
    if not means.data_here:
        yield Refusal(Rule.DATA_UNAVAILABLE, "the stores do not hold all of the job's sealed shards")
    if not means.sandbox:
        yield Refusal(Rule.SANDBOX, "the sandbox does not work: see `heldout provider doctor`")
    if means.busy >= offer.jobs:
        yield Refusal(Rule.BUSY, f"all {offer.jobs} places are taken")
    if means.free < job.terms.collateral:
        text = f"needs {format_tokens(job.terms.collateral)} collateral, {format_tokens(means.free)} are free"
        yield Refusal(Rule.COLLATERAL, f"{text}: `heldout provider deposit`")
    if means.gas < means.gas_reserve:
        yield Refusal(Rule.GAS, f"{format_gas(means.gas)} for gas is below the reserve")


def outcome_of_bid(job: JobState, price: Wei) -> str:
    """What became of a bid that won no lane, for `why`: with what it would have won (all winning prices are public)."""
    if not job.lanes:
        return "nobody was accepted"
    dearest = max(lane.price for lane in job.lanes)
    if price <= dearest:
        return f"lost at {format_tokens(price)} although {format_tokens(dearest)} won: the requester's choice"
    winners = ", ".join(format_tokens(lane.price) for lane in job.lanes)
    return f"lost at {format_tokens(price)}: won by {winners}"
