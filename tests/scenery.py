"""A market with a history, for pages and benches: jobs in every state, as events of a chain that nobody had to mine."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Engine

from heldout.market.chain.logs import Cursor, Followed
from heldout.market.lifecycle import ChainEvent, Outcome, Purpose, State
from heldout.market.messages import BAD, MISSING, pack_vote
from heldout.market.money import ONE_TOKEN, Ppm, Wei, payout_down
from heldout.market.service.indexer import Index
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, BlockNumber, JobId, JobTerms, Parent, Timestamp, job_id
from tests.builders import CHAIN_ID, MARKET, TERMS, digest, terms_values

BEGAN = 1_790_000_000
BLOCK_S = 12
WINDOW = 600


def account(name: str) -> Address:
    """An address of its own for every name."""
    return checksummed("0x" + digest(f"account {name}").hex()[:40])


def seat_events(first: int, owner: str, count: int = 3) -> list[tuple[str, dict[str, object]]]:
    """One validator's seats."""
    hot, cold = account(f"hot {owner}"), account(f"cold {owner}")
    return [
        ("Staked", {"seat": seat, "cold": cold, "hot": hot, "wrapKey": digest(f"wrap {owner}")})
        for seat in range(first, first + count)
    ]


class Scenery:
    """Writes a chain's events in order. Every call of `tell` is a log in the present block; `mine` begins the next."""

    def __init__(self) -> None:
        self.events: list[ChainEvent] = []
        self.block = 1
        self._logs = 0

    @property
    def now(self) -> int:
        return BEGAN + BLOCK_S * self.block

    def mine(self, blocks: int = 1) -> None:
        self.block += blocks
        self._logs = 0

    def tell(self, name: str, **args: object) -> None:
        place = f"{self.block}:{self._logs}"
        hashes = ("0x" + digest(f"block {self.block}").hex(), "0x" + digest(f"tx {place}").hex())
        block, time = BlockNumber(self.block), Timestamp(self.now)
        self.events.append(ChainEvent(name, args, block, *hashes, self._logs, time))
        self._logs += 1

    def stake(self, owners: int) -> None:
        """Three seats for each of so many validators."""
        for number in range(owners):
            for name, args in seat_events(3 * number, f"validator {number}"):
                self.tell(name, **args)
            self.mine()

    def job(self, name: str, **changes: object) -> "Play":
        """A job that was just posted."""
        usual = {"lanes": 1, "parents": (), "bidWindow": WINDOW}
        usual |= {"salt": digest(name), "requester": account(f"requester {len(name) % 3}")}
        return Play(self, replace(TERMS, **{**usual, **changes}))  # type: ignore[arg-type]


class Play:
    """One job, moved on by hand. Every method is one stage of P3."""

    def __init__(self, scenery: Scenery, terms: JobTerms) -> None:
        self.scenery, self.terms = scenery, terms
        self.id: JobId = job_id(terms, CHAIN_ID, MARKET)
        self.providers: list[Address] = []
        self.prices: list[Wei] = []
        self._seats: Sequence[int] = ()
        self._round = 0
        self._tell("Posted", requester=terms.requester, terms=terms_values(terms))
        self._lock(terms.requester, Purpose.REFUND, terms.escrow - terms.bond)
        self._lock(terms.requester, Purpose.BOND, terms.bond)
        self._move(State.OPEN, terms.bidWindow)

    def accept(self, *bids: tuple[str, int]) -> "Play":
        """(provider, whole tokens) for each lane."""
        self.providers = [account(name) for name, _ in bids]
        self.prices = [Wei(price * ONE_TOKEN) for _, price in bids]
        accepted = [
            {"provider": provider, "price": price, "wrapKey": digest(provider)}
            for provider, price in zip(self.providers, self.prices, strict=True)
        ]
        self._tell("Accepted", bids=accepted, seatCount=24)
        for provider in self.providers:
            self._lock(provider, Purpose.COLLATERAL, self.terms.collateral)
        spare = self.terms.lanes * self.terms.priceCap - sum(self.prices)
        if spare:
            self._pay(self.terms.requester, Purpose.REFUND, spare)
        return self._move(State.RUNNING, self.terms.workWindow)

    def submit(self, *lanes: int) -> "Play":
        """These lanes, or all."""
        for lane in lanes or range(len(self.providers)):
            self._tell("Submitted", provider=self.providers[lane], lane=lane, word=digest(f"word {self.id} {lane}"))
        self._round = 1
        return self._move(State.COMMITTING, self.terms.commitWindow)

    def commit(self, *seats: int) -> "Play":
        self._seats = seats
        self._tell("Drawn", round=self._round, seed=digest(f"seed {self.id} {self._round}"), seats=list(seats))
        for place, seat in enumerate(seats):
            self._tell("Committed", seat=seat, round=self._round, place=place, hash=digest(f"commit {self.id} {seat}"))
        return self._move(State.REVEALING, self.terms.revealWindow)

    def reveal(self, *votes: Sequence[int]) -> "Play":
        """One vote per place; the majority's is the round's result."""
        words = [pack_vote(vote) for vote in votes]
        for place, word in enumerate(words):
            about = {"seat": self._seats[place], "round": self._round, "place": place}
            self._tell("Revealed", **about, vote=word, evidence=digest(f"rows {self.id}"))
        self._result = max(words, key=words.count)
        self._tell("RoundScored", round=self._round, result=self._result)
        return self._move(State.SCORED, self.terms.challengeWindow)

    def appeal(self) -> "Play":
        bond = Wei(14 * ONE_TOKEN)
        self._lock(self.providers[0], Purpose.APPEAL_BOND, bond)
        self._round += 1
        self._tell("Appealed", round=self._round, by=self.providers[0], bond=bond)
        return self._move(State.COMMITTING, self.terms.commitWindow)

    def settle(self, *scores: int) -> "Play":
        """As measured; the ledger comes out even (P1.4)."""
        terms, left = self.terms, Wei(0)
        for lane, (provider, price, score) in enumerate(zip(self.providers, self.prices, scores, strict=True)):
            paid = Wei(0) if score >= BAD else payout_down(price, Ppm(score), terms.floor, terms.target, terms.floorPay)
            self._tell("LaneSettled", lane=lane, provider=provider, score=score, payout=paid)
            if paid:
                self._pay(provider, Purpose.PAYOUT, paid)
                self._tell("Artifact", **self._artifact(lane, score))
            self._pay(provider, Purpose.COLLATERAL, terms.collateral)
            left = Wei(left + price - paid)
        for seat in self._seats:
            self._pay(account(f"hot validator {seat // 3}"), Purpose.FEE, terms.fee)
        self._pay(terms.requester, Purpose.BOND, terms.bond)
        spent = len(self._seats) * terms.fee
        rest = left + terms.committee * terms.fee - spent
        if rest > 0:
            self._pay(terms.requester, Purpose.REFUND, rest)
        return self._end(Outcome.MEASURED)

    def close(self) -> "Play":
        """No lane was submitted in time: the collaterals are the requester's, and so is everything else (P3)."""
        self._move(State.SCORED, 0)
        for lane, provider in enumerate(self.providers):
            self._tell("LaneSettled", lane=lane, provider=provider, score=MISSING, payout=Wei(0))
            self._pay(self.terms.requester, Purpose.COLLATERAL, self.terms.collateral)
        self._pay(self.terms.requester, Purpose.BOND, self.terms.bond)
        self._pay(self.terms.requester, Purpose.REFUND, sum(self.prices) + self.terms.committee * self.terms.fee)
        return self._end(Outcome.UNSUBMITTED)

    def agree(self, *outcome: tuple[int, int]) -> "Play":
        """(score, wei) of each lane, as all parties signed it."""
        for lane, (provider, (score, paid)) in enumerate(zip(self.providers, outcome, strict=True)):
            self._tell("LaneSettled", lane=lane, provider=provider, score=score, payout=paid)
            self._pay(provider, Purpose.PAYOUT, paid)
        return self._end(Outcome.AGREED)

    def expire(self) -> "Play":
        self._pay(self.terms.requester, Purpose.REFUND, self.terms.escrow)
        return self._end(Outcome.EXPIRED)

    def artifact_of(self, lane: int) -> bytes:
        return digest(f"artifact {self.id} {lane}")

    def as_parent(self, lane: int, bps: int) -> Parent:
        """What another job's terms say to build on this one's result."""
        return Parent(self.artifact_of(lane), self.providers[lane], bps)  # type: ignore[arg-type]

    def _artifact(self, lane: int, score: int) -> dict[str, object]:
        return {
            "artifact": self.artifact_of(lane),
            "maker": self.providers[lane],
            "owner": self.terms.requester,
            "lane": lane,
            "word": digest(f"word {self.id} {lane}"),
            "taskHash": self.terms.taskHash,
            "dataRoot": self.terms.dataRoot,
            "score": score,
            "measured": True,
        }

    def _end(self, outcome: Outcome) -> "Play":
        self._tell("Settled", outcome=int(outcome), result=getattr(self, "_result", bytes(32)))
        self.scenery.mine()
        return self

    def _move(self, state: State, window: int) -> "Play":
        deadline = self.scenery.now + window
        self._tell("Moved", state=int(state), round=self._round, deadline=deadline)
        self.scenery.mine()
        return self

    def _lock(self, account: str, purpose: Purpose, amount: int) -> None:
        self._tell("Locked", **{"from": account, "purpose": int(purpose), "amount": amount})

    def _pay(self, account: str, purpose: Purpose, amount: int) -> None:
        self._tell("Paid", to=account, purpose=int(purpose), amount=amount)

    def _tell(self, name: str, **args: object) -> None:
        self.scenery.tell(name, job=bytes.fromhex(self.id[2:]), **args)


class Told:
    """A chain whose whole history is there at once."""

    def __init__(self, scenery: Scenery) -> None:
        self._events, self._last, self._now = scenery.events, BlockNumber(scenery.block), scenery.now

    def start(self) -> Cursor:
        return Cursor(((BlockNumber(0), "before"),))

    def follow(self, cursor: Cursor, *, most: int, registry: bool = False) -> Followed:
        if cursor.block == self._last:
            return Followed([], cursor, None)
        return Followed(self._events, Cursor((*cursor.checkpoints, (self._last, "last"))), None)

    def head(self) -> "Told":
        return self

    @property
    def timestamp(self) -> Timestamp:
        return Timestamp(self._now)


def indexed(engine: Engine, scenery: Scenery) -> None:
    """Put it all into an index, in one step."""
    Index(engine, Told(scenery)).step()


def small_market() -> dict[str, Play]:
    """One job in every state, by the state's name, on one scenery; `measured` is the one to be shown to visitors."""
    scene = Scenery()
    scene.stake(8)
    digits = scene.job("digits", lanes=2).accept(("ada", 80), ("bea", 62)).submit().commit(4, 9, 17)
    measured = digits.reveal(*[[966_667, 912_500]] * 3).settle(966_667, 912_500)
    child = scene.job("finer", parents=(measured.as_parent(0, 500),)).accept(("cyd", 90)).submit().commit(1, 8, 20)
    plays = {
        "measured": measured,
        "scored": child.reveal([981_250], [981_250], [981_250]),
        "expired": scene.job("nobody came").expire(),
        "bad": scene.job("spoilt").accept(("dan", 70)).submit().commit(2, 11, 22).reveal(*[[BAD]] * 3).settle(BAD),
        "revealing": scene.job("ants").accept(("ada", 40)).submit().commit(3, 10, 14),
        "committing": scene.job("bees").accept(("bea", 44)).submit(),
        "running": scene.job("crows", lanes=2).accept(("ada", 55), ("cyd", 58)),
        "lower": scene.job("rain", metric=5, floor=Ppm(300_000), target=Ppm(120_000)),
        "open": scene.job("doves", priceCap=Wei(40 * ONE_TOKEN)),
    }
    torn = scene.job("torn").accept(("bea", 75)).submit().commit(5, 6, 13).reveal([940_000], [940_000], [700_000])
    plays["appealed"] = torn.appeal()
    return plays
