"""What the API answers, field by field: the schemas of its OpenAPI description, and what every answer is checked by.

Amounts are decimal text in the token's smallest unit, hashes and keys 0x-hex, addresses checksummed, times unix seconds
of a block. Scores are parts per million; the three highest values are codes (P3.1). Rows name the transaction that last
changed them.
"""

from typing import Any, Literal

from typing_extensions import TypedDict

State = Literal["open", "running", "committing", "revealing", "scored", "settled"]


class Problem(TypedDict):
    """RFC 9457. `code` is one of heldout.market.errors, the same as in the command line."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str
    retryable: bool


class Parent(TypedDict):
    artifact: str
    payee: str
    bps: int


class Terms(TypedDict):
    """JobTerms of the contract, field for field (P2.1)."""

    requester: str
    wrapKey: str
    lanes: int
    priceCap: str
    floor: int
    target: int
    floorPay: int
    metric: int
    scorer: str
    operationCap: str
    shardBytes: int
    weightsBytes: int
    taskHash: str
    dataRoot: str
    shards: int
    heldOut: int
    committee: int
    fee: str
    bond: str
    collateral: str
    bidWindow: int
    workWindow: int
    releaseWindow: int
    commitWindow: int
    revealWindow: int
    challengeWindow: int
    salt: str
    parents: list[Parent]


class PlanShown(TypedDict):
    """What posting would do. `lines` are those of `heldout job post --dry-run`."""

    job: str
    terms: Terms
    lines: list[str]
    plan: dict[str, Any]


class ManifestText(TypedDict):
    """Canonical JSON, to the byte."""

    manifest: str


class AccountRow(TypedDict):
    """`incoming`: out of the account and into a job; else the other way."""

    job: str
    incoming: bool
    purpose: str
    amount: str
    tx: str
    block: int
    at: int


class AccountMoney(TypedDict):
    money: list[AccountRow]
    next: str | None


class Posted(TypedDict):
    tx: str
    block: int
    at: int


class JobRow(TypedDict):
    """A job in a list. `demanded` and `pending` are parties: lanes, or 8 for the requester (P4.5)."""

    id: str
    requester: str
    state: State
    outcome: str
    round: int
    deadline: int
    accept_block: int | None
    seat_count: int
    demanded: list[int]
    pending: list[int]
    terms: Terms
    posted: Posted
    tx: str
    block: int


class Jobs(TypedDict):
    jobs: list[JobRow]
    next: str | None


class Lane(TypedDict):
    """`score` and `payout` are final once the job is settled."""

    lane: int
    provider: str
    price: str
    wrap_key: str
    word: str | None
    score: int | None
    payout: str
    tx: str
    block: int


class Vote(TypedDict):
    """One place of a committee; eight lanes of 32 bits in a word, lane 0 in the lowest."""

    round: int
    place: int
    seat: int | None
    commit: str | None
    vote: str | None
    evidence: str | None
    tx: str
    block: int


class Round(TypedDict):
    round: int
    seed: str | None
    seats: list[int]
    result: str | None
    appellant: str | None
    votes: list[Vote]
    tx: str
    block: int


class Job(JobRow):
    lanes: list[Lane]
    rounds: list[Round]


class Movement(TypedDict):
    row: int
    incoming: bool
    account: str
    purpose: str
    amount: str
    tx: str
    block: int


class Money(TypedDict):
    money: list[Movement]


class Event(TypedDict):
    id: str
    name: str
    job: str | None
    args: dict[str, Any]
    block: int
    block_hash: str
    tx: str
    at: int


class Events(TypedDict):
    events: list[Event]
    next: str | None


class Seat(TypedDict):
    seat: int
    cold: str
    hot: str
    wrap_key: str
    slashed: str
    withdrawable_at: int | None
    unstaked: bool
    since: int
    tx: str
    block: int


class Seats(TypedDict):
    seats: list[Seat]


class NetworkShown(TypedDict):
    """`block` is the last one in the index, `now` the time of the chain's head."""

    name: str
    chain_id: int
    genesis: str
    market: str
    token: str
    deploy_block: int
    code_hash: str
    stores: list[str]
    confirmations: int
    block: int | None
    now: int


class ProviderRow(TypedDict):
    provider: str
    lanes: int
    submitted: int
    paid: int
    earned: str
    block: int


class Providers(TypedDict):
    providers: list[ProviderRow]
    next: str | None


class ProviderLane(TypedDict):
    """`end` says in a word how the lane ended."""

    job: str
    lane: int
    price: str
    score: int | None
    payout: str
    state: State
    outcome: str
    metric: int
    posted_at: int
    floor: int
    target: int
    end: str
    tx: str
    block: int


class Provider(TypedDict):
    provider: str
    lanes: int
    earned: str
    ends: dict[str, int]
    recent: list[ProviderLane]


class ValidatorRow(TypedDict):
    """`judged` votes were in rounds that were decided, `agreed` of them as these were."""

    cold: str
    seats: int
    live: int
    committed: int
    revealed: int
    judged: int
    agreed: int
    slashed: str
    block: int


class Validators(TypedDict):
    validators: list[ValidatorRow]
    next: str | None


class ValidatorVote(Vote):
    job: str
    result: str | None
    metric: int
    agrees: bool | None


class Validator(TypedDict):
    validator: str
    slashed: str
    committed: int
    revealed: int
    judged: int
    agreed: int
    seats: list[Seat]
    recent: list[ValidatorVote]


class ArtifactRow(TypedDict):
    artifact: str
    job: str
    lane: int
    maker: str
    owner: str
    word: str
    task: str
    data_root: str
    score: int
    measured: bool
    tx: str
    block: int


class Artifacts(TypedDict):
    artifacts: list[ArtifactRow]
    next: str | None


class MadeOf(Parent):
    place: int
    tx: str
    block: int


class UsedBy(MadeOf):
    job: str


class Artifact(ArtifactRow):
    parents: list[MadeOf]
    used_by: list[UsedBy]


class Chain(TypedDict):
    """As `heldout chain show --json` tells it."""

    chain: dict[str, Any]


class Hardware(TypedDict):
    hardware: str
    open_jobs: int
    proven_providers: int


class MetricPrices(TypedDict):
    metric: str
    lanes: int
    volume: str
    p25: str
    median: str
    p75: str


class Agreement(TypedDict):
    votes: int
    agreed: int


class LiveSeats(TypedDict):
    live: int
    owners: int


class Figures(TypedDict):
    jobs: dict[str, int]
    hardware: list[Hardware]
    metrics: list[MetricPrices]
    agreement: Agreement
    money: dict[str, str]
    seats: LiveSeats
    providers: int


class ErrorKind(TypedDict):
    code: str
    kind: str
    says: str
    exit_code: int
    retryable: bool


class Revert(TypedDict):
    name: str
    hint: str


class ErrorKinds(TypedDict):
    errors: list[ErrorKind]
    reverts: list[Revert]


class Manifest(TypedDict):
    """The task's manifest as the stores have it; its SHA-256 is the task hash (P2.3)."""

    task: str
    manifest: dict[str, Any]


class LetterShown(TypedDict):
    number: int
    letter: dict[str, Any]


class Letters(TypedDict):
    letters: list[LetterShown]


class Posting(TypedDict):
    new: bool


class Readings(TypedDict):
    """By lane, what its provider says of its own training: believed by nothing."""

    readings: dict[str, list[dict[str, float]]]


class Nonce(TypedDict):
    nonce: str
    expires: int


class SignedIn(TypedDict):
    """`token` is null where it went into a cookie."""

    address: str
    token: str | None
    expires: int


class Session(TypedDict):
    address: str
    expires: int


class Holdings(TypedDict):
    """How many rows about an address are held that are not on chain. `live` of them belong to jobs still going on."""

    address: str
    letters: int
    readings: int
    manifests: int
    live: int


class Held(TypedDict):
    """`place` is where the row stands among those of its kind."""

    kind: Literal["letter", "reading", "manifest"]
    job: str | None
    value: dict[str, Any]
    place: str


class HeldPage(TypedDict):
    rows: list[Held]
    next: str | None


class Erased(TypedDict):
    """How many rows went; `kept` are those of jobs that are still going on."""

    letters: int
    readings: int
    manifests: int
    kept: int


class Draft(TypedDict):
    """A job.toml, what it would cost at most, and where the wizard opens with it."""

    toml: str
    price: str
    wizard: str


class Answered(TypedDict):
    """`mode` says who answered; `sources` what it rests on."""

    text: str
    sources: list[str]
    mode: str
    draft: Draft | None
