"""An account at one chain: what it signs, what the network answers, and what became of it. Remembers nothing."""

import logging
from enum import Enum
from typing import Any, Protocol

from heldout.market.chain.contracts import Contract
from heldout.market.chain.fees import GWEI, Fees
from heldout.market.chain.logs import decode_logs
from heldout.market.chain.reader import Chain
from heldout.market.chain.rpc import RpcError
from heldout.market.chain.sending import Attempt, Receipt, Sending
from heldout.market.chain.views import Block
from heldout.market.errors import ChainProblem
from heldout.market.messages import hexed
from heldout.market.money import Wei
from heldout.market.signatures import Signer
from heldout.market.terms import Address, BlockNumber

log = logging.getLogger(__name__)

DEFAULT_TIP = GWEI


class Answer(Enum):
    """Of the network, to a transaction."""

    ACCEPTED = "accepted"
    """Or known to it already."""
    NONCE_TAKEN = "nonce taken"
    REFUSED = "refused"
    """Or nobody there to take it."""


class SignedTransaction(Protocol):
    @property
    def raw_transaction(self) -> bytes: ...
    @property
    def hash(self) -> bytes: ...


class Account(Signer, Protocol):
    """What sending needs of an eth_account LocalAccount, whose import costs a second: readers do without."""

    def sign_transaction(self, transaction_dict: Any) -> SignedTransaction: ...


class Wallet:
    """Signs with one key."""

    def __init__(self, chain: Chain, account: Account) -> None:
        self.chain = chain
        self.address = Address(account.address)
        self._account = account

    def sign(self, sending: Sending, nonce: int, fees: Fees, head: Block) -> Attempt:
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain.network.chain_id,
            "nonce": nonce,
            "to": sending.to,
            "value": sending.value,
            "data": sending.data,
            "gas": sending.gas,
            "maxFeePerGas": fees.max_fee,
            "maxPriorityFeePerGas": fees.tip,
        }
        signed = self._account.sign_transaction(transaction)
        raw = hexed(bytes(signed.raw_transaction))
        return Attempt(hexed(bytes(signed.hash)), raw, nonce, fees.max_fee, fees.tip, head.number)

    def broadcast(self, attempt: Attempt) -> Answer:
        """Never raises: whoever calls has it in a journal, and tries again."""
        try:
            self.chain.rpc.call("eth_sendRawTransaction", attempt.raw)
        except RpcError as refused:
            text = refused.text.lower()
            if "already" in text:
                return Answer.ACCEPTED
            if "nonce too low" in text or "replacement" in text or "replace existing" in text:
                return Answer.NONCE_TAKEN
            log.warning("transaction %s was not taken: %s", attempt.hash, refused.text)
            return Answer.REFUSED
        except ChainProblem as problem:
            log.warning("transaction %s waits for the RPC: %s", attempt.hash, problem)
            return Answer.REFUSED
        return Answer.ACCEPTED

    def is_known(self, attempt: Attempt) -> bool:
        """Whether the network has it, mined or not."""
        return self.chain.rpc.call("eth_getTransactionByHash", attempt.hash) is not None

    def receipt(self, sending: Sending) -> Receipt | None:
        """Of whichever attempt was mined."""
        answers = self.chain.rpc.batch([("eth_getTransactionReceipt", [hash_]) for hash_ in sending.hashes])
        raw = next((answer for answer in answers if answer), None)
        if raw is None:
            return None
        market = self.chain.market
        logs = [each for each in raw["logs"] if each["address"].lower() == market.address.lower()]
        gas_used = int(raw["gasUsed"], 16)
        return Receipt(
            sending.intent,
            raw["transactionHash"],
            BlockNumber(int(raw["blockNumber"], 16)),
            raw["status"] == "0x1",
            gas_used,
            Wei(gas_used * int(raw["effectiveGasPrice"], 16)),
            tuple(decode_logs(self.chain.rpc, market, logs)),
        )

    def gas_of(self, sending: Sending, *, at: int | None = None) -> int:
        """Gas it would use. Raises Reverted if it would be refused."""
        contract = Contract(self.chain.contract_at(sending.to).name, Address(sending.to))
        return self.chain.gas_of(contract, sending.data, self.address, value=sending.value, at=at)

    def nonces_used(self, tag: str = "latest") -> int:
        """How many transactions of this account the block `tag` has seen."""
        return int(self.chain.rpc.call("eth_getTransactionCount", self.address, tag), 16)

    def tip(self) -> int:
        """What the node thinks a block's maker should get, in wei per gas; DEFAULT_TIP if it has no opinion."""
        try:
            return int(self.chain.rpc.call("eth_maxPriorityFeePerGas"), 16)
        except RpcError:
            return DEFAULT_TIP

    def balance(self) -> Wei:
        return self.chain.eth(self.address)
