"""One job as far as a test says, and the letters that its parties leave about it (market/service/letters.py)."""

from dataclasses import replace
from typing import Any

from eth_account import Account
from sqlalchemy import Engine

from heldout.market.chain import Block
from heldout.market.errors import BadMessage, ChainProblem, Reverted
from heldout.market.messages import Bid, Kind, Letter, bid_letter
from heldout.market.money import Wei
from heldout.market.service.indexer import Index
from heldout.market.service.letters import Letters
from heldout.market.settings import Network
from heldout.market.signatures import recover
from heldout.market.terms import Address, BlockNumber, JobId, JobTerms, Timestamp
from tests.builders import CHAIN_ID, JOB, JOB_BYTES, MARKET, REQUESTER, TERMS, EventLog, digest, terms_values
from tests.scripted_chain import ScriptedChain

NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())
PROVIDER = Account.from_key("0x" + "01" * 32)
RIVAL = Account.from_key("0x" + "02" * 32)
HOT = Address("0x" + "aa" * 20)
IDLE_HOT = Address("0x" + "bb" * 20)
STRANGER = Address("0x" + "cc" * 20)
NOW = 1_800_000_000
KEEPER = Address("0x" + "dd" * 20)


class Market:
    """What the board asks the chain."""

    def __init__(self) -> None:
        self.free_ = Wei(TERMS.collateral)
        self.drawn: tuple[int, ...] | ChainProblem = ChainProblem("SeedNotReady")
        self.now = NOW
        self.refuses: Reverted | None = None
        """What the market says to a job that would be posted now."""

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        try:
            return recover(digest, signature) == address
        except BadMessage:
            return False

    def head(self) -> Block:
        return Block(BlockNumber(100), "0x00", "0x00", Timestamp(self.now), Wei(0))

    def try_post(self, terms: JobTerms) -> None:
        if self.refuses:
            raise self.refuses

    def free(self, account: str) -> Wei:
        return self.free_

    def committee(self, job: JobId) -> tuple[bytes, tuple[int, ...]]:
        if isinstance(self.drawn, ChainProblem):
            raise self.drawn
        return b"", self.drawn


class Board:
    """A job as far as `events` say, and the letters about it."""

    def __init__(self, engine: Engine) -> None:
        self.market = Market()
        self.letters = Letters(engine, self.market, NETWORK, lambda: self.market.now, [KEEPER])
        self._index, self._chain, self._log = Index(engine, chain := ScriptedChain()), chain, EventLog()
        self.happens("Staked", seat=4, cold=STRANGER, hot=HOT, wrapKey=digest("hot"))
        self.happens("Staked", seat=5, cold=STRANGER, hot=IDLE_HOT, wrapKey=digest("idle"))
        self.happens("Posted", requester=REQUESTER, terms=terms_values())
        self.happens("Moved", state=1, round=0, deadline=NOW + 60)

    def happens(self, name: str, **args: Any) -> None:
        event = self._log(name, **args)
        if name == "Staked":
            del event.args["job"]
        self._chain.add(event)
        self._index.step()

    def accept(self) -> None:
        bids = [{"provider": PROVIDER.address, "price": 50, "wrapKey": digest("wrap")}]
        self.happens("Accepted", bids=bids, seatCount=24)
        self.happens("Moved", state=2, round=0, deadline=NOW + 600)

    def post(
        self,
        sender: str,
        receiver: str,
        session: str | None = "sender",
        text: str = "sealed",
        kind: Kind = Kind.TRAINING_KEYS,
    ) -> bool:
        letter = Letter(JOB, kind, Address(sender), receiver, {"envelope": text})
        return self.letters.post(letter, Address(sender if session == "sender" else session) if session else None)


def bid(account: Any = PROVIDER, signer: Any = None, **changes: Any) -> Letter:
    offer = replace(Bid(JOB_BYTES, account.address, Wei(7), digest("wrap"), NOW + 60, 1), **changes)
    signature = (signer or account).unsafe_sign_hash(offer.digest(CHAIN_ID, MARKET)).signature
    return bid_letter(offer, signature)
