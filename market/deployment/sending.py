"""Sending a plan: every transaction is signed and on disk before the chain hears of it.

A run that was killed goes on with the very same transactions, and makes no second market.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heldout.market.chain.rpc import Rpc, RpcError
from heldout.market.chain.wallet import Account
from heldout.market.deployment.creation import Plan
from heldout.market.errors import BadInput, ChainProblem, HeldoutError, Reverted, TimedOut
from heldout.market.messages import hexed
from heldout.market.terms import Address

POLL_S = 0.05
TAKEN_S = 2.0
"""How long a nonce must be spent without a receipt before it counts as spent on something else."""


@dataclass(frozen=True)
class Signed:
    """One signed creation, as the file of pending transactions keeps it."""

    contract: str
    address: Address
    deployer: Address
    nonce: int
    hash: str
    raw: str


def sign(plan: Plan, account: Account) -> tuple[Signed, ...]:
    """Every transaction of a plan. Nothing is sent."""
    signed = []
    for creation in plan.creations:
        transaction = {
            "type": 2,
            "chainId": plan.chain_id,
            "nonce": creation.nonce,
            "value": 0,
            "data": creation.data,
            "gas": creation.gas,
            "maxFeePerGas": plan.fees.max_fee,
            "maxPriorityFeePerGas": plan.fees.tip,
        }
        made = account.sign_transaction(transaction)
        hash_, raw = hexed(bytes(made.hash)), hexed(bytes(made.raw_transaction))
        signed.append(Signed(creation.contract, creation.address, plan.deployer, creation.nonce, hash_, raw))
    return tuple(signed)


def keep(path: Path, signed: Sequence[Signed]) -> None:
    """Write the transactions down before they are sent: whoever reads the file could only send them too."""
    path.write_text(json.dumps([asdict(each) for each in signed], indent=1) + "\n")


def kept(path: Path) -> tuple[Signed, ...]:
    """What an earlier run had signed; nothing if there was none. Raises BadInput."""
    try:
        return tuple(Signed(**each) for each in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError):
        hint = "remove it if none of its transactions was sent"
        raise BadInput(f"{path} is damaged", hint=hint, code="bad_pending_file") from None


def send(rpc: Rpc, signed: Sequence[Signed], *, timeout_s: float = 600) -> list[dict[str, Any]]:
    """Broadcast whatever is not mined yet and wait; the raw receipts, in order.

    Raises Reverted, TimedOut, and HeldoutError `nonce_taken` if the account sent something else meanwhile.
    """
    give_up = time.monotonic() + timeout_s
    for each in signed:
        _broadcast(rpc, each)
    return [_await(rpc, each, give_up) for each in signed]


def _await(rpc: Rpc, signed: Signed, give_up: float) -> dict[str, Any]:
    taken = 0
    while (receipt := rpc.call("eth_getTransactionReceipt", signed.hash)) is None:
        taken = taken + 1 if _is_taken(rpc, signed) else 0
        if taken * POLL_S > TAKEN_S:
            text = f"{signed.deployer} sent something else as its transaction {signed.nonce}"
            hint = "remove the file of pending transactions and deploy anew"
            raise HeldoutError(text, hint=hint, code="nonce_taken")
        if time.monotonic() > give_up:
            hint = "run the same command again: it goes on with these transactions"
            raise TimedOut(f"{signed.contract} was not mined in time ({signed.hash})", hint=hint)
        time.sleep(POLL_S)
    if receipt["status"] != "0x1":
        raise Reverted("CreationReverted", (signed.contract, signed.hash), hint="look at this transaction")
    found: dict[str, Any] = receipt
    return found


def _broadcast(rpc: Rpc, signed: Signed) -> None:
    try:
        rpc.call("eth_sendRawTransaction", signed.raw)
    except RpcError as refused:
        text = refused.text.lower()
        if not ("already" in text or "nonce too low" in text):  # known to the network, mined or not
            raise ChainProblem(f"{signed.contract} was not taken: {refused.text}", hint="try again") from None


def _is_taken(rpc: Rpc, signed: Signed) -> bool:
    """Whether its nonce is spent; for a moment that is so of what is mined too, before its receipt can be read."""
    return int(rpc.call("eth_getTransactionCount", signed.deployer, "latest"), 16) > signed.nonce
