"""Where a job is played: the numbers, the people, and a market in Python or in bytecode with their money in it."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

from coincurve import PrivateKey

from heldout.market.lifecycle import JobState
from heldout.market.messages import Bid
from heldout.market.money import ONE_TOKEN, Ppm, Wei
from heldout.market.settlement import PROTOCOL, Fines
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, JobId, JobTerms, job_id, keccak256, scorer_id
from heldout.simulation.rules.terms import fifth_up
from heldout.simulation.rules.world import Limits

CHAIN_ID = 31337
FLOOR, TARGET, GOOD, POOR = Ppm(900_000), Ppm(980_000), 970_000, 300_000
"""Terms of every job here; what a trained model scores, and one that is none. Nobody guesses a score to the ppm."""
POCKET = 10**9 * ONE_TOKEN
"""What everybody has: nobody here is stopped by an empty purse."""
WINDOW = 100
MINIMUM_FEE = Wei(1)
LIMITS = Limits()


class Role(StrEnum):
    REQUESTER = "requester"
    PROVIDER = "provider"
    SEATS = "seats"


@dataclass(frozen=True)
class Numbers:
    """What a table varies. Amounts are in tokens."""

    value: float = 100
    """V, the accepted bid, which is the price cap too."""
    fee: float = 1.0
    stake: float = 1_000
    committee: int = 3
    collateral: float = 0.20
    """Of the price cap. The contract takes no less than 0.20, and no less than n·f."""
    bond: float = 0.20
    """Of V. The contract takes no less than 0.20."""
    floor_pay: float = 0.50
    fines: Fines = PROTOCOL
    share: float = 0.10
    """Of all seats, that the adversary holds."""
    seats: int = 10_000
    worth: float = 130
    """Of a good model to its requester."""
    training: float = 60
    """What it costs a provider to train one."""
    scoring: float = 0.25
    """What it costs a seat to open and score one submission."""
    vigilant: bool = True
    """Whether honest parties appeal when a wrong result costs them something."""


class Stage(Protocol):
    """What a play needs of a market: `rules.Market` and `bytecode.Bytecode` both have it."""

    now: int
    block: int
    jobs: dict[JobId, JobState]

    @property
    def address(self) -> Address: ...
    def call(self, sender: Address, function: str, *args: Any) -> Any: ...
    def pass_time(self, seconds: int, blocks: int = 1) -> None: ...
    def wealth(self, account: Address) -> int:
        """Free balance and stakes."""
        ...


def _account(name: str) -> Address:
    return checksummed(sha256(f"simulation: {name}".encode()).digest()[:20])


_PROVIDER_KEY = PrivateKey(sha256(b"simulation: provider").digest())
PROVIDER = checksummed(keccak256(_PROVIDER_KEY.public_key.format(compressed=False)[1:])[-20:])
REQUESTER, STRANGER = _account("requester"), _account("stranger")
HONEST, ADVERSARY = _account("honest seats"), _account("the adversary's seats")
MARKET = _account("market")


def tokens(amount: float) -> Wei:
    """Tokens as the smallest unit, exact to a millionth."""
    return Wei(round(amount * 10**6) * ONE_TOKEN // 10**6)


def settle_people(stage: Stage, honest: int, adverse: int) -> None:
    """Money for everybody, and seats; the adversary's come first."""
    for account in (REQUESTER, PROVIDER, STRANGER, HONEST, ADVERSARY):
        stage.call(account, "deposit", POCKET)
    for account, count in ((ADVERSARY, adverse), (HONEST, honest)):
        if count:
            stage.call(account, "stake", count, account, bytes(32))
    stage.pass_time(12, 1)


def terms_of(numbers: Numbers, serial: int) -> JobTerms:
    """One lane; collateral and bond as `numbers` say, or the least that the contract takes."""
    cap, fee = tokens(numbers.value), tokens(numbers.fee)
    collateral = max(tokens(numbers.collateral * numbers.value), fifth_up(cap), numbers.committee * fee)
    return JobTerms(
        requester=REQUESTER,
        wrapKey=bytes(32),
        lanes=1,
        priceCap=cap,
        floor=FLOOR,
        target=TARGET,
        floorPay=Ppm(round(numbers.floor_pay * 1_000_000)),
        metric=1,
        scorer=scorer_id("score-v1"),
        operationCap=1,
        shardBytes=1,
        weightsBytes=1,
        taskHash=bytes(32),
        dataRoot=bytes(32),
        shards=20,
        heldOut=5,
        committee=numbers.committee,
        fee=fee,
        bond=Wei(max(tokens(numbers.bond * numbers.value), fifth_up(cap))),
        collateral=Wei(collateral),
        bidWindow=WINDOW,
        workWindow=WINDOW,
        releaseWindow=WINDOW // 2,
        commitWindow=WINDOW,
        revealWindow=WINDOW,
        challengeWindow=WINDOW,
        salt=serial.to_bytes(32, "big"),
    )


def signed_bid(terms: JobTerms, market: Address) -> tuple[Bid, bytes]:
    """The provider's, at the price cap."""
    job = bytes.fromhex(job_id(terms, CHAIN_ID, market)[2:])
    bid = Bid(job, PROVIDER, terms.priceCap, bytes(32), 2**40, int.from_bytes(terms.salt, "big"))
    signature = _PROVIDER_KEY.sign_recoverable(bid.digest(CHAIN_ID, market), hasher=None)
    return bid, signature[:64] + bytes([signature[64] + 27])
