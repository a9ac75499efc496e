"""The deployed bytecode behind the same two methods as `rules.Market`: `call` and `pass_time`.

Runs the artifacts that ship (market/chain/abi) in revm, in this process; needs `pip install pyrevm` (extra `dev`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from heldout.market.chain.contracts import Contract, encode_arguments, interface, selector
from heldout.market.errors import Reverted
from heldout.market.lifecycle import ChainEvent, JobState, transition
from heldout.market.money import Wei
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, BlockNumber, JobId, JobTerms, Timestamp, job_id, words
from heldout.simulation.rules.world import Limits

if TYPE_CHECKING:
    from pyrevm import ExecutionResult

CHAIN_ID = 31337
DEPLOYER = Address("0x" + "dE" * 20)
ENDLESS = 2**128 - 1
"""Tokens that every account is given."""

Event = tuple[str, dict[str, Any]]


class Bytecode:
    """One market and its token, on a chain of their own."""

    def __init__(self, seat_stake: Wei, minimum_fee: Wei, limits: Limits, beacon: str = "0x" + "00" * 20) -> None:
        import pyrevm

        self._pyrevm = pyrevm
        self._evm = pyrevm.EVM(pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=CHAIN_ID)), spec_id="CANCUN")
        self.now, self.block = 1_800_000_000, 1_000
        self.pass_time(0, 0)
        self.token = self._deploy("HeldToken", (2**200,))
        windows = (limits.bid, limits.work, limits.release, limits.commit, limits.reveal, limits.challenge)
        bounds = (*windows, limits.shard_bytes, limits.weights_bytes, limits.operations_per_second)
        resolution = self._deploy("Resolution", (self.token.address, seat_stake, minimum_fee, beacon, bounds))
        self.market = self._deploy("Market", (resolution.address,))
        self.jobs: dict[JobId, JobState] = {}
        self._terms: dict[str, JobTerms] = {}
        self._funded: set[str] = set()
        self._selectors: dict[str, bytes] = {}

    @property
    def address(self) -> Address:
        return self.market.address

    def pass_time(self, seconds: int, blocks: int = 1) -> None:
        self.now += seconds
        self.block += blocks
        self._evm.set_block_env(self._pyrevm.BlockEnv(number=self.block, timestamp=self.now))

    def call(self, sender: Address, function: str, *args: Any) -> list[Event]:
        """One transaction: the market's events. Raises Reverted with the contract's error."""
        if function == "deposit":
            self._fund(sender)
        self._send(sender, self.market, function, self._spelled(function, args))
        found = []
        for log in self._result.logs:
            event = self.market.decode_log({"topics": log.topics, "data": "0x" + log.data[1].hex()})
            if event is not None and log.address.lower() == self.address.lower():
                found.append(event)
                self._fold(*event)
        return found

    def _fold(self, name: str, args: dict[str, Any]) -> None:
        """The job's record, out of its events as any reader of the chain would fold them."""
        event = ChainEvent(name, args, BlockNumber(self.block), "", "", 0, Timestamp(self.now))
        job = transition(self.jobs.get(event.job), event) if event.job else None
        if job is not None:
            self.jobs[job.id] = job

    def words(self, function: str, *args: int | str | bytes) -> list[int]:
        """What a view returns, word by word: several times faster than decoding it. Every argument is one word."""
        if function not in self._selectors:
            self._selectors[function] = selector(interface("Market").functions[function])
        calldata = self._selectors[function] + words(args)
        data = bytes(self._evm.message_call(DEPLOYER, self.address, calldata, is_static=True))
        return [int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32)]

    def held_for(self, terms: JobTerms) -> int:
        """All money the job of these terms holds (P1.4)."""
        calldata = self.market.encode("heldFor", (terms.as_tuple(),))
        return int.from_bytes(self._evm.message_call(DEPLOYER, self.address, calldata, is_static=True), "big")

    def wealth(self, account: Address) -> int:
        """Free balance and stakes."""
        seats = (self.words("getSeat", seat) for seat in range(self.words("seatCount")[0]))
        return self.words("free", account)[0] + sum(stake for *_, cold, stake in seats if cold == int(account, 16))

    def block_hash(self, number: int) -> bytes:
        return bytes(self._evm.block_hash(number))

    def balance(self) -> int:
        """What the market holds of its token."""
        calldata = self.token.encode("balanceOf", (self.address,))
        return int.from_bytes(self._evm.message_call(DEPLOYER, self.token.address, calldata, is_static=True), "big")

    @property
    def gas_used(self) -> int:
        """Of the last call, its base fee of 21,000 included."""
        return self._result.gas_used

    @property
    def _result(self) -> ExecutionResult:
        result = self._evm.result
        assert result is not None, "nothing was called yet"
        return result

    def _spelled(self, function: str, args: tuple[Any, ...]) -> list[Any]:
        """Arguments as the ABI takes them today: terms and bids as tuples; and the terms where it asks for them and the
        caller gave an id, so that a function that changes from one to the other is called as before."""
        spelled: list[Any] = []
        for item, value in zip(interface("Market").functions[function]["inputs"], args, strict=True):
            if isinstance(value, JobTerms):
                self._terms[job_id(value, CHAIN_ID, self.address)] = value
            elif item["type"] == "tuple" and item["name"] == "terms":
                value = self._terms[value]
            spelled.append([each.as_tuple() for each in value] if item["type"] == "tuple[]" else _plain(value))
        return spelled

    def _fund(self, account: Address) -> None:
        if account not in self._funded:
            self._funded.add(account)
            self._send(DEPLOYER, self.token, "transfer", (account, ENDLESS))
            self._send(account, self.token, "approve", (self.address, 2**256 - 1))

    def _deploy(self, name: str, args: tuple[Any, ...]) -> Contract:
        contract = interface(name)
        code = contract.bytecode + encode_arguments(contract.constructor, args)
        return Contract(name, checksummed(self._evm.deploy(DEPLOYER, code)))

    def _send(self, sender: Address, contract: Contract, function: str, args: Any) -> None:
        try:
            self._evm.message_call(sender, contract.address, contract.encode(function, args))
        except RuntimeError as problem:
            raise _reverted(contract, str(problem)) from None


def _reverted(contract: Contract, message: str) -> Reverted:
    """revm's words hold the revert data: `Revert { gas_used: 1, output: 0x… }`."""
    output = re.search(r"output: 0x([0-9a-f]*)", message)
    return contract.error(bytes.fromhex(output[1])) if output else Reverted(message)


def _plain(value: Any) -> Any:
    return value.as_tuple() if isinstance(value, JobTerms) else value
