"""The same calls for the rules in Python and for the deployed bytecode, compared after every one of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account import Account

from heldout.market.errors import BadMessage, Reverted
from heldout.market.lifecycle import JobState, State
from heldout.market.messages import Bid
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.settlement import NOBODY
from heldout.market.signatures import checksummed, recover
from heldout.market.terms import Address, JobId
from heldout.simulation.bytecode import CHAIN_ID, Bytecode
from heldout.simulation.rules import Market
from heldout.simulation.rules.agreement import Message
from heldout.simulation.rules.demands import stage_start
from heldout.simulation.rules.world import Limits, Seat
from tests.builders import digest

STAKE, MINIMUM_FEE = Wei(1_000 * ONE_TOKEN), Wei(ONE_TOKEN // 100)
LIMITS = Limits()


@dataclass
class Duel:
    """Two markets that must never differ."""

    rules: Market = field(init=False)
    bytecode: Bytecode = field(init=False)
    accounts: set[Address] = field(default_factory=set)
    refusals: Counter[str] = field(default_factory=Counter)
    """How often each error was agreed on."""
    seen: Counter[str] = field(default_factory=Counter)
    """How often each event was."""
    taken: Counter[str] = field(default_factory=Counter)
    """How often each call went through."""

    def __post_init__(self) -> None:
        self.bytecode = Bytecode(STAKE, MINIMUM_FEE, LIMITS)
        self.rules = Market(STAKE, MINIMUM_FEE, LIMITS, chain_id=CHAIN_ID, address=self.bytecode.address)
        self.rules.verifies = lambda bid, signature: self._signed(bid, bid.provider, signature)
        self.rules.agrees = self._signed
        self.rules.hash_of = lambda number: bytes(self.bytecode.block_hash(number))

    def __call__(self, sender: Address, function: str, *args: Any) -> str | None:
        """The agreed error's name, or None if both did it. Events, ledger and the job's record are compared."""
        theirs: list[tuple[str, dict[str, Any]]] | Reverted
        ours: list[tuple[str, dict[str, Any]]] | Reverted
        self.accounts.add(sender)
        try:
            theirs = self.bytecode.call(sender, function, *args)
        except Reverted as refusal:
            theirs = refusal
        try:
            ours = [(event.name, event.args) for event in self.rules.call(sender, function, *args)]
        except Reverted as refusal:
            ours = refusal
        if isinstance(theirs, Reverted) or isinstance(ours, Reverted):
            assert _shown(ours) == _shown(theirs), f"{function}{args}"
            assert isinstance(ours, Reverted)
            self.refusals[ours.name] += 1
            return ours.name
        assert ours == theirs, f"{function}{args}"
        self.seen.update(name for name, _ in ours)
        self.taken[function] += 1
        self._compare(ours)
        return None

    def pass_time(self, seconds: int, blocks: int = 1) -> None:
        self.rules.pass_time(seconds, blocks)
        self.bytecode.pass_time(seconds, blocks)

    def compare_all(self) -> None:
        """Every balance and every job, and P1.4: what the market holds is what it owes."""
        for account in self.accounts:
            self._compare_free(account)
        for job in self.rules.jobs:
            self._compare_job(job)
        for seat in range(self.rules.totals["seat_count"]):
            self._compare_seat(seat)
        totals = self.rules.totals
        read = {"burned": "burned", "seat_count": "seatCount", "live": "liveSeats"}
        assert {name: totals[name] for name in read} == {
            name: self.bytecode.words(view)[0] for name, view in read.items()
        }
        jobs, stakes = (sum(job.locked for job in self.rules.jobs.values()), sum(s.stake for s in self._seats()))
        assert totals["locked"] == jobs + stakes
        assert self.bytecode.balance() == sum(self.rules.free.values()) + totals["locked"] + totals["burned"]

    def _seats(self) -> list[Any]:
        return list(self.rules.seats.values())

    def _compare(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        for args in (args for _, args in events):
            for name in ("account", "from", "to", "cold"):
                if args.get(name, NOBODY) != NOBODY:
                    self.accounts.add(args[name])
                    self._compare_free(args[name])
        for job in {"0x" + args["job"].hex() for _, args in events if "job" in args}:
            self._compare_job(JobId(job))

    def _compare_free(self, account: Address) -> None:
        assert self.rules.free.get(account, 0) == self.bytecode.words("free", account)[0], account

    def _compare_seat(self, index: int) -> None:
        seat = self.rules.seats.get(index)
        hot, active_from, exiting_at, cold, stake = self.bytecode.words("getSeat", index)
        theirs = Seat(_address(hot), _address(cold), stake, active_from, exiting_at)
        assert theirs == (replace(seat, withdrawable_at=0) if seat else Seat(NOBODY, NOBODY, 0, 0))

    def _compare_job(self, id_: JobId) -> None:
        job = self.rules.jobs[id_]
        assert job.sums, "P1.4"
        assert job.locked == self.bytecode.held_for(job.terms)
        ours, theirs = _record_of(job), self.bytecode.words("getJob", id_)
        if job.final:  # what led there is of no use any more
            ended = [RECORD.index(name) for name in ("state", "outcome")]
            assert [ours[i] for i in ended] == [theirs[i] for i in ended]
        else:
            assert dict(zip(RECORD, ours, strict=True)) == dict(zip(RECORD, theirs, strict=True))
        if job.round:
            self._compare_round(job)

    def _compare_round(self, job: JobState) -> None:
        _, size, seed_block, _, _, *marks = self.bytecode.words("getRound", job.id, job.round)
        marks, (_, *seats), round_ = marks[:5], marks[5:], job.rounds[-1]
        assert (size, seed_block, seats) == (job.size_of(job.round), round_.seed_block, list(round_.seats))
        if job.final:  # votes and result are cleared
            return
        result, appellant = int.from_bytes(round_.result or b"", "big"), int(round_.appellant or NOBODY, 16)
        assert marks == [_mask(round_.commits), _mask(round_.votes), result, appellant, round_.bond]

    def _signed(self, message: Bid | Message, signer: Address, signature: bytes) -> bool:
        try:
            return recover(message.digest(CHAIN_ID, self.rules.address), signature) == signer
        except BadMessage:
            return False


RECORD = (
    *("state", "outcome", "lanes", "committee", "round", "deadline", "stageStart", "acceptBlock"),
    *("seedBlock", "seatCount", "submitted", "missing", "demanded", "pending", "demanders", "result"),
)
"""What `getJob` returns, in its order."""


def _record_of(job: JobState) -> list[int]:
    """The contract's record of a job, out of the fold of its events."""
    decided = job.rounds[job.deciding_round - 1].result if job.deciding_round else None
    result = job.overlaid(decided or bytes(32)) if job.state >= State.SCORED and job.lanes else bytes(32)
    return [
        job.state,
        job.outcome,
        len(job.lanes) or job.terms.lanes,
        job.terms.committee,
        job.round,
        job.deadline,
        stage_start(job) if job.round else 0,
        job.accept_block or 0,
        job.rounds[-1].seed_block if job.round else 0,
        job.seat_count,
        *map(_mask, (job.submitted, job.missing | job.half_withheld, job.demanded, job.pending, job.demanders)),
        int.from_bytes(result, "big"),
    ]


def _address(word: int) -> Address:
    return checksummed(word.to_bytes(20, "big"))


def _mask(places: Iterable[int]) -> int:
    return sum(1 << place for place in places)


def _shown(outcome: Any) -> Any:
    """An error as a name and values, ids and enums as the ABI has them; events as they are."""
    if not isinstance(outcome, Reverted):
        return outcome
    plain = [bytes.fromhex(v[2:]) if isinstance(v, str) and len(v) == 66 else v for v in outcome.values]
    return outcome.name, plain


class Signer:
    """An account that signs bids, commits, waivers and outcomes."""

    def __init__(self, name: str) -> None:
        self._account = Account.from_key(digest(name))
        self.address = Address(self._account.address)

    def sign(self, message: Bid | Message, market: Address) -> bytes:
        return bytes(self._account.unsafe_sign_hash(message.digest(CHAIN_ID, market)).signature)
