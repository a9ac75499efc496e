"""Contracts about to be created from one account: addresses, arguments and gas, known before anything is signed.

The address of a contract follows from who creates it and how many transactions that account has sent, so a later
contract of a plan can name an earlier one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from heldout.market.chain.contracts import encode_arguments, interface
from heldout.market.chain.fees import FeePolicy, Fees, Urgency, opening
from heldout.market.chain.rpc import Rpc, RpcError
from heldout.market.chain.wallet import DEFAULT_TIP
from heldout.market.errors import InsufficientFunds
from heldout.market.messages import hexed
from heldout.market.money import Wei, format_tokens
from heldout.market.signatures import checksummed
from heldout.market.terms import Address, keccak256

_CONSTRUCTOR_GAS = 53_000 + 250_000
"""What a creation costs before anything (EIP-2), and what a constructor of ours may use: Market's takes 60,000."""
_BYTE_GAS, _CODE_GAS = 17, 200
"""A byte of calldata, metered as initcode (EIP-3860); a byte of code, kept."""

Wanted = Callable[[Callable[[int], Address]], Sequence[tuple[str, tuple[Any, ...]]]]
"""From `address_of(i)`, where the i-th contract will be, to names and constructor arguments."""


@dataclass(frozen=True)
class Creation:
    """One contract to be."""

    contract: str
    args: tuple[Any, ...]
    nonce: int
    address: Address
    gas: int
    """Limit: a tenth above the estimate, or above a bound."""

    @property
    def data(self) -> bytes:
        """Creation code and constructor arguments."""
        return interface(self.contract).bytecode + self.encoded_args

    @property
    def encoded_args(self) -> bytes:
        """As a block explorer asks for them."""
        return encode_arguments(interface(self.contract).constructor, self.args)


@dataclass(frozen=True)
class Plan:
    """What would be sent, by whom, and what it costs at most."""

    chain_id: int
    genesis: str
    deployer: Address
    balance: Wei
    fees: Fees
    creations: tuple[Creation, ...]

    @property
    def cost(self) -> Wei:
        """Gas money, in wei, if every limit is used up at the greatest price."""
        return Wei(sum(creation.gas for creation in self.creations) * self.fees.max_fee)

    def refuse_unaffordable(self) -> None:
        """Raises InsufficientFunds."""
        if self.balance < self.cost:
            text = f"{self.deployer} has {format_tokens(self.balance)} for gas and needs {format_tokens(self.cost)}"
            raise InsufficientFunds(text, hint="send gas money to this address", code="insufficient_gas_money")


def create_address(creator: str, nonce: int) -> Address:
    """Where the contract of an account's transaction `nonce` comes to be: Keccak-256 of RLP([creator, nonce])."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    item = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    body = bytes([0x80 + 20]) + bytes.fromhex(creator[2:]) + item
    return checksummed(hexed(keccak256(bytes([0xC0 + len(body)]) + body)[12:]))


def plan_creations(rpc: Rpc, deployer: Address, wanted: Wanted) -> Plan:
    """Raises Reverted if a constructor would refuse its arguments, ChainProblem."""
    chain_id, genesis, count, balance, head = rpc.batch(
        [
            ("eth_chainId", []),
            ("eth_getBlockByNumber", ["0x0", False]),
            ("eth_getTransactionCount", [deployer, "pending"]),
            ("eth_getBalance", [deployer, "latest"]),
            ("eth_getBlockByNumber", ["latest", False]),
        ]
    )
    first = int(count, 16)
    base_fee = int(head.get("baseFeePerGas") or "0x0", 16)
    creations: list[Creation] = []
    for place, (name, args) in enumerate(wanted(lambda place: create_address(deployer, first + place))):
        draft = Creation(name, args, first + place, create_address(deployer, first + place), 0)
        names_earlier = any(earlier.address in args for earlier in creations)
        gas = _bound(draft) if names_earlier else _gas_of(rpc, deployer, draft)
        creations.append(Creation(name, args, draft.nonce, draft.address, gas + gas // 10))
    return Plan(
        int(chain_id, 16),
        genesis["hash"],
        deployer,
        Wei(int(balance, 16)),
        opening(base_fee, _tip(rpc), Urgency.NORMAL, FeePolicy()),
        tuple(creations),
    )


def _bound(creation: Creation) -> int:
    """Enough for a contract whose constructor asks one that is not there yet, so that no node can estimate it."""
    deployed = len(interface(creation.contract).deployed)
    return _CONSTRUCTOR_GAS + _BYTE_GAS * len(creation.data) + _CODE_GAS * deployed


def _gas_of(rpc: Rpc, deployer: Address, creation: Creation) -> int:
    try:
        return int(rpc.call("eth_estimateGas", {"from": deployer, "data": hexed(creation.data)}), 16)
    except RpcError as refused:
        if refused.data or "revert" in refused.text.lower():
            raise interface(creation.contract).error(refused.data) from None
        raise


def _tip(rpc: Rpc) -> int:
    try:
        return int(rpc.call("eth_maxPriorityFeePerGas"), 16)
    except RpcError:
        return DEFAULT_TIP
