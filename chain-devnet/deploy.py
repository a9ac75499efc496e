"""Putting token and market on a fresh test chain, giving every test account tokens, and staking validators."""

import time
from typing import Any

from eth_account import Account

from heldout.devnet import accounts, parameters
from heldout.devnet.anvil import Anvil
from heldout.market.chain import Chain, Contract, Outbox, checksum
from heldout.market.chain.deposits import deposit
from heldout.market.deployment.creation import plan_creations
from heldout.market.deployment.market import network_of, plan_market
from heldout.market.deployment.sending import send, sign
from heldout.market.errors import ChainProblem
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.messages import hexed
from heldout.market.money import Wei
from heldout.market.settings import Network
from heldout.market.terms import Address


def deploy_market(anvil: Anvil, *, stores: tuple[str, ...] = (), service: str | None = None) -> Network:
    """Token, market and grants on a chain that mines on demand; the network file's contents.

    The market comes to be as on any other chain (heldout.market.deployment); only the token is play money.
    """
    deployer = Account.from_key(accounts.private_key(0))
    coined = plan_creations(anvil.rpc, deployer.address, lambda _: [("HeldToken", (parameters.SUPPLY,))])
    (token,) = sign(coined, deployer)
    send(anvil.rpc, [token])
    specification = parameters.specification(token.address, stores)
    signed = sign(plan_market(anvil.rpc, deployer.address, specification), deployer)
    network = network_of(specification, anvil.rpc, signed, send(anvil.rpc, signed), service=service)
    for index in range(1, accounts.COUNT):
        grant_tokens(anvil, token.address, accounts.address(index))
    return network


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


def _transact(anvil: Anvil, to: Address, data: bytes) -> None:
    """From the deployer, whose key anvil holds itself."""
    hash_ = anvil.call("eth_sendTransaction", {"from": accounts.address(0), "to": to, "data": hexed(data)})
    receipt: dict[str, Any] | None = None
    while receipt is None:  # anvil answers a moment before it has mined
        time.sleep(0.01)
        receipt = anvil.call("eth_getTransactionReceipt", hash_)
    if receipt["status"] != "0x1":
        raise ChainProblem(f"the devnet's transaction was reverted: {hash_}")
