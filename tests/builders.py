"""Builders of the values most tests need. They make sound things; a test spoils the one part it is about."""

from hashlib import sha256
from typing import Any

from heldout.market.lifecycle import ChainEvent
from heldout.market.money import ONE_TOKEN, BasisPoints, Ppm, Wei
from heldout.market.terms import Address, BlockNumber, JobTerms, Parent, Timestamp, job_id, scorer_id

MARKET = "0x" + "33" * 20
REQUESTER = Address("0x" + "11" * 20)
PROVIDERS = tuple(Address("0x" + f"{0x20 + i:02x}" * 20) for i in range(8))
CHAIN_ID = 31337


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


TERMS = JobTerms(
    requester=REQUESTER,
    wrapKey=digest("wrap"),
    lanes=2,
    priceCap=Wei(100 * ONE_TOKEN),
    floor=Ppm(900_000),
    target=Ppm(980_000),
    floorPay=Ppm(500_000),
    metric=1,
    scorer=scorer_id("score-v1"),
    operationCap=10**9,
    shardBytes=2**16,
    weightsBytes=2**20,
    taskHash=digest("task"),
    dataRoot=digest("data"),
    shards=20,
    heldOut=6,
    committee=3,
    fee=Wei(ONE_TOKEN),
    bond=Wei(40 * ONE_TOKEN),
    collateral=Wei(20 * ONE_TOKEN),
    bidWindow=60,
    workWindow=600,
    releaseWindow=30,
    commitWindow=60,
    revealWindow=60,
    challengeWindow=60,
    salt=digest("salt"),
    parents=(Parent(digest("parent"), Address("0x" + "99" * 20), BasisPoints(500)),),
)
JOB = job_id(TERMS, CHAIN_ID, MARKET)
JOB_BYTES = bytes.fromhex(JOB[2:])


class EventLog:
    """Makes the events of one job in order: `log("Moved", state=1, ...)`; every call is a later log."""

    def __init__(self, job: bytes = JOB_BYTES) -> None:
        self.job = job
        self.events: list[ChainEvent] = []

    def __call__(self, name: str, **args: Any) -> ChainEvent:
        number = len(self.events)
        event = ChainEvent(
            name=name,
            args={"job": self.job, **args},
            block=BlockNumber(100 + number),
            block_hash="0x" + digest(f"block {number}").hex(),
            tx="0x" + digest(f"tx {number}").hex(),
            log_index=number,
            timestamp=Timestamp(1_800_000_000 + number),
        )
        self.events.append(event)
        return event


def terms_values(terms: JobTerms = TERMS) -> dict[str, Any]:
    """Terms as the decoded `Posted` event carries them."""
    values = dict(vars(terms))
    values["parents"] = [dict(vars(parent)) for parent in terms.parents]
    return values
