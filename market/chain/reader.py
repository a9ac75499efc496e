"""Typed reads of one market at one named block.

Every read takes `at`: a `Block` (asked for by hash, so that a reorganised chain answers with an error and never with
another branch's state), a block number, or None for the newest block.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from heldout.market.chain.contracts import Contract
from heldout.market.chain.logs import Cursor, Followed, Topics, follow, read_block, read_events, read_logs
from heldout.market.chain.rpc import AnswerTooLarge, Endpoint, Rpc, RpcError
from heldout.market.chain.signatures import MAGIC, recovers, wallet_question
from heldout.market.chain.views import Block, JobView, LaneView, Limits, Parameters, Recipient, RoundView, SeatView
from heldout.market.errors import BlockMissing, ChainProblem, Reverted, RpcsDisagree, WrongNetwork
from heldout.market.lifecycle import VACANT, ChainEvent
from heldout.market.messages import hexed
from heldout.market.money import Wei
from heldout.market.settings import Network
from heldout.market.signatures import checksummed
from heldout.market.split import SEED_DELAY, Split, draw_split
from heldout.market.terms import BlockNumber, JobId, JobTerms, job_id, keccak256
from heldout.market.valuechain import ValueChain, fold

T = TypeVar("T")
log = logging.getLogger(__name__)

At = Block | int | None
MARKET = "Market"
TOKEN = "HeldToken"
REGISTRY = "ValueChain"
STALE_ANSWERS = 3
"""Times in a row that a head further back than the confirmations is refused before it is believed."""
_WALLET_GAS = 5_000_000
"""For a contract wallet to say whether it signed; a stranger's code may run for ever."""
_MOST_CONFIRMED: Final = 1_000
"""Jobs whose confirmed events are kept; another's are asked for again, from its first."""
_NOBODY = "0x" + "00" * 18 + "dead"
"""Has no code: a call of it goes well wherever calls do."""
_LIES = "one of them lies or follows another branch; find out which and take it out of the network file"
_RESTARTED = "the chain was restarted, or the network file is of another one; ask for the file that belongs to this RPC"


def connect(network: Network, *, timeout_s: float = 10) -> "Chain":
    """The network's chain, its id, genesis, market code and token checked. Raises WrongNetwork, ChainProblem."""
    chain = Chain(network, timeout_s=timeout_s)
    chain.head()
    return chain


class Chain:
    """One market on one chain. All methods raise ChainProblem if no RPC answers, Reverted if the contract refuses."""

    def __init__(self, network: Network, *, timeout_s: float = 10) -> None:
        self.network = network
        self.market = Contract(MARKET, checksummed(network.market))
        self.token = Contract(TOKEN, checksummed(network.token))
        self.registry = Contract(REGISTRY, checksummed(network.value_chain)) if network.value_chain else None
        self.rpc = Rpc(network.rpc, timeout_s=timeout_s, check=self._check)
        self._highest = 0
        self._stale = 0
        self._terms: dict[JobId, JobTerms] = {}
        self._witnesses = [Chain(replace(network, rpc=(url,)), timeout_s=timeout_s) for url in _several(network.rpc)]
        """The same market by each RPC alone, if there are several."""
        self._confirmed: dict[JobId, tuple[BlockNumber, list[ChainEvent]]] = {}
        """Events of a job that several RPCs told, and the first block about which they were not asked."""

    def close(self) -> None:
        for each in (self, *self._witnesses):
            each.rpc.close()

    # ------------------------------------------------------------------------------------------------ blocks

    def head(self, confirmations: int = 0) -> Block:
        """The newest block, or the one `confirmations` below it."""
        newest = read_block(self.rpc, "latest")
        if newest is None:
            raise ChainProblem("the RPC has no latest block")
        self._refuse_stale(newest)
        return newest if confirmations == 0 else self.block(max(0, newest.number - confirmations))

    def block(self, number: int) -> Block:
        """Raises ChainProblem if the node does not have it (yet)."""
        block = read_block(self.rpc, number)
        if block is None:
            raise BlockMissing(f"the RPC does not have block {number}", hint="it lags behind; try again")
        return block

    def confirm(self, head: Block) -> None:
        """Before money moves, the RPCs that are up and do not lag agree about the chain, confirmations deep.

        Raises ChainProblem `rpcs_disagree`. With one RPC there is nobody else to ask.
        """
        if not self._witnesses:
            return
        block = self.block(self._deep(head.number))
        for url, raw in self.rpc.witnesses("eth_getBlockByNumber", hex(block.number), False):
            if raw and raw["hash"] != block.hash:
                raise ChainProblem(f"{url} has another block {block.number}", hint=_LIES, code="rpcs_disagree")

    def agreed(self, read: "Callable[[Chain], T]") -> T:
        """What `read` tells, before a secret leaves because of it, if every RPC that is up tells the same.

        Raises RpcsDisagree, and what `read` raises. With one RPC there is nobody else to ask.
        """
        told = read(self)
        self._hear(read, told)
        return told

    def confirm_events(self, job: JobId, events: Sequence[ChainEvent], head: BlockNumber) -> None:
        """Before a secret leaves because of a job's `events`, first to last as they were read: all RPCs tell the same
        ones as far as the chain is deep. That a block has the right hash says nothing about the logs told of it.

        Raises RpcsDisagree, ChainProblem. With one RPC there is nobody else to ask.
        """
        last = self._deep(head)
        deep = [event for event in events if event.block <= last]
        if not deep:
            return
        first, known = self._confirmed.pop(job, (deep[0].block, []))
        if deep[: len(known)] != known:
            first, known = deep[0].block, []
        if self._hear(lambda each: each.events(first, last, job=job), deep[len(known) :]) > 1:
            self._confirmed[job] = (BlockNumber(last + 1), deep)
        while len(self._confirmed) > _MOST_CONFIRMED:
            del self._confirmed[next(iter(self._confirmed))]

    def _hear(self, read: "Callable[[Chain], T]", told: T) -> int:
        """How many RPCs have this chain, confirmations deep, and tell by `read` what was `told`; who is down has no
        say. One that lags is waited for: else whoever forges blocks need only be ahead of it. Raises RpcsDisagree."""
        if not self._witnesses:
            return 0
        heard, deep = 0, self.head(self.network.confirmations)
        for witness in self._witnesses:
            url = witness.network.rpc[0]
            try:
                agrees = witness.block(deep.number).hash == deep.hash and read(witness) == told
            except (BlockMissing, Reverted) as behind:
                text = f"{url} does not tell what another RPC tells: {behind.message}"
                raise RpcsDisagree(text, hint=f"it lags, or {_LIES}") from None
            except ChainProblem as silent:
                if not silent.retryable:
                    raise
                log.warning("%s has no say in what leaves: %s", url, silent.message)
                continue
            if not agrees:
                raise RpcsDisagree(f"{url} tells something else than another RPC", hint=_LIES)
            heard += 1
        return heard

    def _deep(self, head: BlockNumber) -> BlockNumber:
        return BlockNumber(max(0, head - self.network.confirmations))

    def _refuse_stale(self, newest: Block) -> None:
        """A head that moves far back is a lagging node, until it insists: then it is a reorg, and said aloud."""
        if newest.number >= self._highest - self.network.confirmations:
            self._highest, self._stale = max(self._highest, newest.number), 0
            return
        self._stale += 1
        text = f"the chain's head moved back from {self._highest} to {newest.number}"
        if self._stale <= STALE_ANSWERS:
            raise ChainProblem(text, hint="the RPC lags, or the chain was reorganised; trying again will tell")
        log.warning("%s; believing it after %d answers", text, self._stale)
        self._highest, self._stale = newest.number, 0

    # ------------------------------------------------------------------------------------------------- calls

    def call(self, function: str, *args: Any, at: At = None, on: Contract | None = None, sender: str = "") -> Any:
        """A static call of any view (or a trial of any function), decoded."""
        contract = on or self.market
        request = {"to": contract.address, "data": hexed(contract.encode(function, args))}
        if sender:
            request["from"] = sender
        return contract.decode(function, self._static(contract, request, at))

    def calls(self, function: str, argument_lists: Iterable[Sequence[Any]], at: At = None) -> list[Any]:
        """The same view of the market for many arguments, in one request."""
        data = [hexed(self.market.encode(function, args)) for args in argument_lists]
        to, tag = self.market.address, _tag(at)
        answers = self.rpc.batch([("eth_call", [{"to": to, "data": each}, tag]) for each in data])
        return [self.market.decode(function, bytes.fromhex(answer[2:])) for answer in answers]

    def gas_of(self, contract: Contract, data: str, sender: str, *, value: int = 0, at: At = None) -> int:
        """Gas a transaction would use. Raises Reverted if the contract would refuse it."""
        request = {"from": sender, "to": contract.address, "data": data, "value": hex(value)}
        with _reverts(contract):
            return int(self.rpc.call("eth_estimateGas", request, _tag(at)), 16)

    def _static(self, contract: Contract, request: dict[str, Any], at: At) -> bytes:
        with _reverts(contract):
            return bytes.fromhex(self.rpc.call("eth_call", request, _tag(at))[2:])

    # ------------------------------------------------------------------------------------------------- reads

    def job(self, job: JobId, at: At = None) -> JobView:
        """State NONE if it was never posted."""
        return JobView.from_abi(self.call("getJob", job, at=at))

    def lane(self, job: JobId, lane: int, at: At = None) -> LaneView:
        return LaneView(*self.call("getLane", job, lane, at=at))

    def lanes(self, job: JobId, count: int, at: At = None) -> list[LaneView]:
        return [LaneView(*values) for values in self.calls("getLane", [(job, i) for i in range(count)], at)]

    def round(self, job: JobId, round_: int, at: At = None) -> RoundView:
        return RoundView.from_abi(self.call("getRound", job, round_, at=at))

    def try_post(self, terms: JobTerms, at: At = None) -> None:
        """Whether the market would take a job from its requester now: new, within bounds, its escrow in free balance.

        Raises Reverted with the contract's own reason.
        """
        self.call("post", terms.as_tuple(), at=at, sender=terms.requester)

    def held_for(self, terms: JobTerms, at: At = None) -> Wei:
        """All money the job of these terms holds now (P1.4)."""
        return Wei(self.call("heldFor", terms.as_tuple(), at=at))

    def vote(self, job: JobId, round_: int, place: int, at: At = None) -> bytes:
        """The vote at a place; zero until it is revealed."""
        vote: bytes = self.call("getVote", job, round_, place, at=at)
        return vote

    def commits(self, job: JobId, view: JobView, head: Block) -> list[tuple[int, bytes]]:
        """Place and hash of every commit of the present round, in the order in which the chain took them."""
        found = self.events(view.accept_block, head.number, job=job, names=["Committed"])
        return [(each.args["place"], each.args["hash"]) for each in found if each.args["round"] == view.round]

    def committee(self, job: JobId, at: At = None) -> tuple[bytes, tuple[int, ...]]:
        """Seed and drawn seats of the present round, pinned or not. Raises Reverted `SeedNotReady`, `SeedGone`."""
        seed, seats = self.call("committee", job, at=at)
        return seed, tuple(seats)

    def seat(self, seat: int, at: At = None) -> SeatView:
        return SeatView.from_abi(self.call("getSeat", seat, at=at))

    def seats(self, seats: Iterable[int], at: At = None) -> list[SeatView]:
        return [SeatView.from_abi(raw) for raw in self.calls("getSeat", [(seat,) for seat in seats], at)]

    def seat_count(self, at: At = None) -> int:
        return int(self.call("seatCount", at=at))

    def live_seats(self, at: At = None) -> int:
        return int(self.call("liveSeats", at=at))

    def free(self, account: str, at: At = None) -> Wei:
        """The account's free balance in the market's ledger."""
        return Wei(self.call("free", account, at=at))

    def token_balance(self, account: str, at: At = None) -> Wei:
        return Wei(self.call("balanceOf", account, at=at, on=self.token))

    def eth(self, account: str, at: At = None) -> Wei:
        """Gas money."""
        return Wei(int(self.rpc.call("eth_getBalance", account, _tag(at)), 16))

    def parameters(self) -> Parameters:
        """What was fixed at deployment (P1.5)."""
        return Parameters(
            self.call("token"),
            self.call("beacon"),
            Wei(self.call("seatStake")),
            Wei(self.call("minimumFee")),
            self.call("exitDelay"),
            Limits.from_abi(self.call("limits")),
        )

    def verify_signature(self, address: str, digest: bytes, signature: bytes) -> bool:
        """Whether `address` signed the 32-byte digest, as the market sees it: by key, also if code lies there
        (EIP-7702), else by that code (ERC-1271)."""
        if recovers(address, digest, signature):
            return True
        if self.rpc.call("eth_getCode", address, "latest") == "0x":
            return False
        request = {"to": address, "data": hexed(wallet_question(digest, signature)), "gas": hex(_WALLET_GAS)}
        try:
            # The whole word, as the contract reads it: code that returns what it is sent begins with these bytes too.
            return self._static(self.market, request, None)[:32] == MAGIC.ljust(32, b"\0")
        except (Reverted, AnswerTooLarge):
            return False
        except RpcError:  # code may fail in any way it likes, unless it is the RPC that does
            self._static(self.market, {**request, "to": _NOBODY}, None)
            return False

    # ------------------------------------------------------------------------------------------------ events

    def events(
        self, first: int, last: int, *, job: JobId | None = None, names: Sequence[str] | None = None
    ) -> list[ChainEvent]:
        """Events of blocks first to last, both included, in the chain's order."""
        first = max(first, self.network.deploy_block)
        return read_events(self.rpc, self.market, first, last, job=job, names=names)

    def contract_at(self, address: str) -> Contract:
        """Whose errors a refused call to that address speaks."""
        known = (self.token, self.registry, self.market)
        return next((each for each in known if each is not None and each.address == address), self.market)

    def value_chain(self, last: int) -> ValueChain:
        """Every artifact made up to block `last`, with what the registry says of it, if the network has one (P7)."""
        first = self.network.deploy_block
        told = self.events(first, last)
        if self.registry is not None:
            told += read_events(self.rpc, self.registry, first, last, job=None, names=None)
        return fold(sorted(told, key=lambda event: (event.block, event.log_index)))

    def start(self) -> Cursor:
        """The cursor before the market's first event."""
        before = self.block(max(0, self.network.deploy_block - 1))
        return Cursor(((before.number, before.hash),))

    def follow(self, cursor: Cursor, *, confirmations: int = 0, most: int = 2_000, registry: bool = False) -> Followed:
        """The next events after `cursor`; see `Followed`. `head() == cursor.block` means that it has caught up.

        With `registry` also those of the registry of artifacts, if the network has one.
        """
        told = (self.market, self.registry) if registry and self.registry is not None else (self.market,)
        return follow(self.rpc, told, self.start, cursor, self.head(confirmations), most)

    def terms(self, job: JobId) -> JobTerms:
        """A job's terms from its `Posted` event, checked against its id. Raises ChainProblem if there is none."""
        if job not in self._terms:
            found = self.events(self.network.deploy_block, self.head().number, job=job, names=["Posted"])
            terms = [JobTerms.from_values(event.args["terms"]) for event in found]
            genuine = [t for t in terms if job_id(t, self.network.chain_id, self.network.market) == job.lower()]
            if not genuine:
                raise ChainProblem(f"the chain has no job {job}", hint="check the id and the network file")
            self._terms[job] = genuine[-1]
        return self._terms[job]

    def split(self, terms: JobTerms, accept_block: BlockNumber) -> Split:
        """A job's shards as the chain split them, by every RPC (P4.1). Raises ChainProblem before the split is drawn,
        RpcsDisagree."""
        seed = self.agreed(lambda each: each.block(accept_block + SEED_DELAY).hash)
        job = job_id(terms, self.network.chain_id, self.network.market)
        return draw_split(bytes.fromhex(seed[2:]), bytes.fromhex(job[2:]), terms.shards, terms.heldOut)

    def recipients(self, seats: Iterable[int]) -> dict[int, Recipient]:
        """To whom a letter to each seat goes: its hot key, and the wrapping key of its last `Staked` or `Rotated`."""
        asked = list(seats)
        topics: Topics = [self.market.topics(["Staked", "Rotated"]), [f"0x{seat:064x}" for seat in asked]]
        logs = read_logs(self.rpc, self.market.address, topics, self.network.deploy_block, self.head().number)
        decoded = [event for event in map(self.market.decode_log, logs) if event is not None]
        keys = {args["seat"]: args["wrapKey"] for _, args in decoded}
        held = zip(asked, self.seats(asked), strict=True)
        return {seat: Recipient(view.hot, keys[seat]) for seat, view in held if seat in keys}

    def drawn(self, job: JobId) -> dict[int, Recipient]:
        """The committee of the present round, by seat, vacant places left out. Raises Reverted as `committee` does."""
        return self.recipients(sorted(set(self.committee(job)[1]) - {VACANT}))

    # ------------------------------------------------------------------------------------------------- trust

    def _check(self, endpoint: Endpoint) -> None:
        """Raises WrongNetwork unless this endpoint serves the chain and the market of the network file."""
        network = self.network
        asked: list[tuple[str, list[Any]]] = [
            ("eth_chainId", []),
            ("eth_getBlockByNumber", ["0x0", False]),
            ("eth_getCode", [network.market, "latest"]),
        ]
        chain_id, genesis, code = endpoint.batch(asked)
        facts = [
            ("chain id", int(chain_id, 16), network.chain_id),
            ("genesis", genesis and genesis["hash"], network.genesis),
            ("code hash of the market", hexed(keccak256(bytes.fromhex(code[2:]))), network.code_hash),
        ]
        wrong = next((fact for fact in facts if fact[1] != fact[2]), None) or self._wrong_token(endpoint)
        if wrong:
            what, found, expected = wrong
            text = f"{endpoint.url} is not network {network.name!r}: its {what} is {found}, not {expected}"
            raise WrongNetwork(text, hint=_RESTARTED)

    def _wrong_token(self, endpoint: Endpoint) -> tuple[str, object, object] | None:
        request = {"to": self.market.address, "data": hexed(self.market.encode("token", ()))}
        token = self.market.decode("token", bytes.fromhex(endpoint.call("eth_call", [request, "latest"])[2:]))
        return None if token == self.token.address else ("token", token, self.token.address)


@contextmanager
def _reverts(contract: Contract) -> Iterator[None]:
    """The RPC's "execution reverted" as the contract's own error."""
    try:
        yield
    except RpcError as refused:
        if refused.data or "revert" in refused.text.lower():
            raise contract.error(refused.data) from None
        raise


def _several(urls: Sequence[str]) -> Sequence[str]:
    return urls if len(urls) > 1 else ()


def _tag(at: At) -> Any:
    if at is None:
        return "latest"
    return {"blockHash": at.hash, "requireCanonical": True} if isinstance(at, Block) else hex(at)
