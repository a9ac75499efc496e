"""Putting token and market on a fresh test chain, giving every test account tokens, and staking validators."""

import time
from typing import Any

from heldout.devnet import accounts, parameters
from heldout.devnet.anvil import Anvil
from heldout.market.chain import Chain, Contract, Outbox, checksum
from heldout.market.chain.contracts import encode_arguments, interface
from heldout.market.chain.deposits import deposit
from heldout.market.errors import ChainProblem
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.messages import hexed
from heldout.market.money import Wei
from heldout.market.settings import DEVNET_CHAIN_ID, Network
from heldout.market.terms import Address, keccak256

NO_BEACON = "0x" + "00" * 20
"""Seeds are block hashes (P5.3)."""


def deploy_market(anvil: Anvil, *, stores: tuple[str, ...] = (), service: str | None = None) -> Network:
    """Token, market and grants on a chain that mines on demand; returns the network file's contents."""
    token = _create(anvil, "HeldToken", (parameters.SUPPLY,))
    limits = parameters.LIMITS.as_tuple()
    terms = (token["contractAddress"], parameters.SEAT_STAKE, parameters.MINIMUM_FEE, NO_BEACON, limits)
    market = _create(anvil, "Market", terms)
    held = checksum(token["contractAddress"])
    for index in range(1, accounts.COUNT):
        grant_tokens(anvil, held, accounts.address(index))
    code = anvil.call("eth_getCode", market["contractAddress"], "latest")
    return Network(
        name="devnet",
        chain_id=DEVNET_CHAIN_ID,
        genesis=anvil.call("eth_getBlockByNumber", "0x0", False)["hash"],
        rpc=(anvil.url,),
        market=checksum(market["contractAddress"]),
        token=held,
        deploy_block=int(market["blockNumber"], 16),
        code_hash=hexed(keccak256(bytes.fromhex(code[2:]))),
        stores=stores,
        service=service,
        confirmations=parameters.CONFIRMATIONS,
    )


def grant_tokens(anvil: Anvil, token: str, who: str) -> None:
    """What every test account starts with, out of the deployer's supply, to any address."""
    held = Contract("HeldToken", checksum(token))
    _transact(anvil, held.address, held.encode("transfer", (who, parameters.GRANT)))


def stake_validator(chain: Chain, journal: Journal, cold: KeyRing, hot: KeyRing, seats: int) -> range:
    """Deposit and stake from the cold key; the hot key votes and opens envelopes. Returns the seats' indices."""
    outbox = Outbox(chain, cold.account, journal)
    deposit(chain, outbox, cold.account, Wei(seats * parameters.SEAT_STAKE))
    receipt = outbox.send(f"stake:{hot.address}", "stake", seats, hot.address, hot.wrap_public, wait=True)
    first = next(event.args["seat"] for event in receipt.events if event.name == "Staked")
    return range(first, first + seats)


def _create(anvil: Anvil, name: str, args: tuple[Any, ...]) -> dict[str, Any]:
    contract = interface(name)
    return _transact(anvil, None, contract.bytecode + encode_arguments(contract.constructor, args))


def _transact(anvil: Anvil, to: Address | None, data: bytes) -> dict[str, Any]:
    """From the deployer, whose key anvil holds itself."""
    request: dict[str, Any] = {"from": accounts.address(0), "data": hexed(data)}
    hash_ = anvil.call("eth_sendTransaction", request | ({"to": to} if to else {}))
    receipt: dict[str, Any] | None = None
    while receipt is None:  # anvil answers a moment before it has mined
        time.sleep(0.01)
        receipt = anvil.call("eth_getTransactionReceipt", hash_)
    if receipt["status"] != "0x1":
        raise ChainProblem(f"the devnet's deployment was reverted: {hash_}")
    return receipt
