"""The outbox: every transaction is an intent in the journal before it is broadcast, and looked after until it is final.

        send                    mined                 `confirmations` deep
    ────────▶ open ────────────────────▶ open, receipt ───────────────────▶ done
               │ ▲  not seen: re-broadcast    │ reorg: receipt gone, re-broadcast
               │ │  not mined: replaced       ▼
               │ └──────────────────────────── open
               └ nonce used by somebody else, for good: tried again at a new one, or failed if the contract refuses

An intent's name (`commit:<job>:1:0`) is its idempotency key: sending it again returns what became of it, and sending
other calldata under it is refused. A killed process finds its open intents in the journal and goes on.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Literal, NoReturn, overload

from heldout.market.chain.contracts import Contract
from heldout.market.chain.fees import GWEI, FeePolicy, Fees, Urgency, bumped, opening
from heldout.market.chain.reader import Chain
from heldout.market.chain.sending import Pending, Receipt, Sending, Status
from heldout.market.chain.views import Block
from heldout.market.chain.wallet import Account, Answer, Wallet
from heldout.market.errors import ChainProblem, HeldoutError, InsufficientFunds, Reverted, TimedOut
from heldout.market.journal import Journal
from heldout.market.messages import hexed
from heldout.market.money import format_tokens
from heldout.market.terms import Address

log = logging.getLogger(__name__)

Ring = Callable[[str, str], object]
"""`Alarm.ring`: a code and a message."""

POLL_S = 0.2
NONCE_TRIES = 4
"""New nonces tried at once when others send with the same key."""
TRANSFER_GAS = 21_000


def _log(code: str, message: str) -> None:
    log.warning("%s: %s", code, message)


class Outbox:
    """Sends from one account. For one thread; two processes with the same key cost each other retries, nothing more."""

    def __init__(
        self,
        chain: Chain,
        account: Account,
        journal: Journal,
        *,
        policy: FeePolicy | None = None,
        alarm: Ring | None = None,
    ) -> None:
        self.chain = chain
        self.address = Address(account.address)
        self._wallet = Wallet(chain, account)
        self._journal = journal
        self._policy = policy or FeePolicy()
        self._ring = alarm or _log
        self._alarmed: set[str] = set()
        self._prefix = f"tx:{self.address}:"
        known = (Sending.from_record(record) for _, record in journal.items(self._prefix))
        self._open = {sending.intent: sending for sending in known if sending.status is Status.OPEN}

    # ------------------------------------------------------------------------------------------------ sending

    @overload
    def send(
        self,
        intent: str,
        function: str,
        *args: Any,
        urgency: Urgency = ...,
        on: Contract | None = ...,
        wait: Literal[True],
        timeout_s: float = ...,
    ) -> Receipt: ...

    @overload
    def send(
        self,
        intent: str,
        function: str,
        *args: Any,
        urgency: Urgency = ...,
        on: Contract | None = ...,
        wait: bool = ...,
        timeout_s: float = ...,
    ) -> Receipt | Pending: ...

    def send(
        self,
        intent: str,
        function: str,
        *args: Any,
        urgency: Urgency = Urgency.NORMAL,
        on: Contract | None = None,
        wait: bool = False,
        timeout_s: float = 120,
    ) -> Receipt | Pending:
        """Call `function` of the market (or of the contract `on`), once per intent.

        Returns what is known of it now, or with `wait` its receipt. Raises Reverted if the contract would refuse it,
        InsufficientFunds, ChainProblem, HeldoutError `intent_conflict`; with `wait` also TimedOut.
        """
        contract = on or self.chain.market
        data = hexed(contract.encode(function, args))
        sending = self._known(intent, contract, data)
        if sending is None:
            self._begin(intent, contract, data, urgency)
        elif sending.status is Status.OPEN and intent not in self._open:
            # The disk filled up after it was written and before it was sure to last: it was not sent.
            head = self.chain.head()
            self._attempt(sending, self._next_nonce(), self._offer(head, urgency), head)
        elif sending.status is Status.DONE and self._wallet.receipt(sending) is None:
            log.warning("%s was mined and the chain turned back beyond its confirmations: sending it again", intent)
            self._keep(sending.with_status(Status.OPEN))
            self._wallet.broadcast(sending.attempts[-1])
        return self.wait(intent, timeout_s) if wait else self.outcome(intent)

    def outcome(self, intent: str) -> Receipt | Pending:
        """What became of an intent that was sent. Raises KeyError if it never was."""
        sending = self._load(intent)
        if sending is None:
            raise KeyError(intent)
        return self._wallet.receipt(sending) or Pending(intent, sending.nonce, sending.hashes)

    def wait(self, intent: str, timeout_s: float = 120) -> Receipt:
        """Until it is mined. Raises Reverted if the contract refused it there, TimedOut."""
        give_up = time.monotonic() + timeout_s
        while True:
            try:
                self.poll()
                sending = self._load(intent)
                assert sending is not None
                receipt = self._wallet.receipt(sending)
                if receipt is not None:
                    if receipt.ok:
                        return receipt
                    self._raise_reason(sending, receipt)
                if sending.status is Status.FAILED:
                    self._wallet.gas_of(sending)
                    raise Reverted("NonceTaken", hint="another program sends with this key; try again")
            except ChainProblem as problem:
                if not problem.retryable:
                    raise
            if time.monotonic() > give_up:
                hint = "it stays in the journal: the same command goes on where this one stopped"
                raise TimedOut(f"{intent} was not mined within {timeout_s:g} s", hint=hint)
            time.sleep(POLL_S)

    def _raise_reason(self, sending: Sending, receipt: Receipt) -> NoReturn:
        """Why a transaction was reverted, from a replay on the block before."""
        self._wallet.gas_of(sending, at=receipt.block - 1)
        raise Reverted(
            "LostRace", (receipt.hash,), hint="the chain moved on in the same block; look at it and try again"
        )

    @property
    def pending(self) -> list[Pending]:
        """Everything that is not final yet, in the order of nonces."""
        ordered = sorted(self._open.values(), key=lambda sending: sending.nonce)
        return [Pending(sending.intent, sending.nonce, sending.hashes) for sending in ordered]

    def affordable(self, gas: int) -> bool:
        """Whether gas money for `gas` is left above the reserve: ask before taking on new work."""
        head = self.chain.head()
        price = opening(head.base_fee, self._wallet.tip(), Urgency.NORMAL, self._policy).max_fee
        return self._wallet.balance() >= (gas + self._policy.reserve_gas) * price

    # ---------------------------------------------------------------------------------------------- look-after

    def poll(self) -> list[Receipt]:
        """Look after what is under way: re-broadcast, replace, renumber. Returns what became final. Once a cycle."""
        if not self._open:
            return []
        head = self.chain.head()
        used = self._wallet.nonces_used()
        final, waiting = [], []
        for sending in sorted(self._open.values(), key=lambda each: each.nonce):
            receipt = self._wallet.receipt(sending)
            if receipt is None:
                waiting.append(sending)
            elif receipt.block + self.chain.network.confirmations <= head.number:
                self._keep(sending.with_status(Status.DONE if receipt.ok else Status.FAILED))
                final.append(receipt)
        if waiting and waiting[0].nonce > used:
            self._fill_gap(used, waiting[0], head)
        for sending in waiting:
            self._push(sending, head, used)
        return final

    def _push(self, sending: Sending, head: Block, used: int) -> None:
        if sending.nonce < used:
            deep = max(0, head.number - self.chain.network.confirmations)
            if sending.nonce < self._wallet.nonces_used(hex(deep)) and self._wallet.receipt(sending) is None:
                self._renumber(sending, head)
        elif head.number - sending.attempts[-1].block >= self._policy.patience:
            self._replace(sending, head)
        elif not self._wallet.is_known(sending.attempts[-1]):
            self._wallet.broadcast(sending.attempts[-1])

    def _replace(self, sending: Sending, head: Block) -> None:
        """Offer more, as much as the most urgent intent that waits behind this nonce is worth."""
        urgency = max(each.urgency for each in self._open.values() if each.nonce >= sending.nonce)
        fees = bumped(sending.attempts[-1].fees, head.base_fee, self._wallet.tip(), urgency, self._policy)
        if fees is None:
            self._warn(sending.intent, "waits at its fee cap; raise the cap, or wait until the chain is less busy")
            self._wallet.broadcast(sending.attempts[-1])
            return
        self._attempt(sending, sending.nonce, fees, head)

    def _renumber(self, sending: Sending, head: Block) -> None:
        """Its nonce is spent on something else for good: once more at a new one, if that still makes sense."""
        log.warning("nonce %d of %s was used by another program", sending.nonce, sending.intent)
        try:
            self._wallet.gas_of(sending)
        except Reverted as refused:
            log.info("%s is not sent again: %s", sending.intent, refused)
            self._keep(sending.with_status(Status.FAILED))
            return
        self._attempt(sending, self._next_nonce(), self._offer(head, sending.urgency), head)

    def _fill_gap(self, used: int, first: Sending, head: Block) -> None:
        """Nonces below ours that nothing fills (a deep reorg, another program's lost transaction) block everything."""
        if self._wallet.nonces_used("pending") > used:
            return
        done = {s.nonce: s for s in self._all() if s.status is Status.DONE}
        for nonce in range(used, first.nonce):
            if nonce in done:
                self._keep(done[nonce].with_status(Status.OPEN))
                self._wallet.broadcast(done[nonce].attempts[-1])
                continue
            fees = self._offer(head, max(each.urgency for each in self._open.values()))
            gap = Sending(f"gap:{nonce}", self.address, "0x", 0, TRANSFER_GAS, Urgency.NORMAL, Status.OPEN, ())
            self._attempt(gap, nonce, fees, head)

    # ------------------------------------------------------------------------------------------------ signing

    def _begin(self, intent: str, contract: Contract, data: str, urgency: Urgency) -> None:
        gas = self.chain.gas_of(contract, data, self.address)
        gas = gas + gas // 4 + 50_000  # a race may make ours the call that pins, or that ends a stage
        head = self.chain.head()
        self.chain.confirm(head)
        fees = self._offer(head, urgency)
        self._refuse_unaffordable(gas, fees, urgency)
        sending = Sending(intent, contract.address, data, 0, gas, urgency, Status.OPEN, ())
        for _ in range(NONCE_TRIES):
            sending, answer = self._attempt(sending, self._next_nonce(), fees, head)
            if answer is not Answer.NONCE_TAKEN or self._wallet.receipt(sending) is not None:
                return
        log.warning("%s: other programs send with this key", intent)

    def _attempt(self, sending: Sending, nonce: int, fees: Fees, head: Block) -> tuple[Sending, Answer]:
        """Sign, journal, broadcast: in this order, so that whatever is on the network is in the journal."""
        attempt = self._wallet.sign(sending, nonce, fees, head)
        sending = sending.tried(attempt)
        self._keep(sending)
        return sending, self._wallet.broadcast(attempt)

    def _offer(self, head: Block, urgency: Urgency) -> Fees:
        fees = opening(head.base_fee, self._wallet.tip(), urgency, self._policy)
        if fees.max_fee < head.base_fee:
            self._ring("fee_cap", f"the base fee of {head.base_fee // GWEI} gwei is above the cap: transactions wait")
        return fees

    def _next_nonce(self) -> int:
        return max([self._wallet.nonces_used("pending"), *(sending.nonce + 1 for sending in self._open.values())])

    def _refuse_unaffordable(self, gas: int, fees: Fees, urgency: Urgency) -> None:
        reserve = self._policy.reserve_gas if urgency < Urgency.COMMIT else 0
        promised = sum(sending.gas * sending.attempts[-1].max_fee for sending in self._open.values())
        needed = (gas + reserve) * fees.max_fee + promised
        balance = self._wallet.balance()
        if balance < needed:
            text = f"{self.address} has {format_tokens(balance)} for gas and needs {format_tokens(needed)}"
            hint = "send gas money to this address" + ("; a reserve is kept for commits and reveals" if reserve else "")
            raise InsufficientFunds(text, hint=hint, code="insufficient_gas_money")

    # ------------------------------------------------------------------------------------------------ journal

    def _known(self, intent: str, contract: Contract, data: str) -> Sending | None:
        """The intent if it is under way or done; None if it is new, or failed and may be tried again."""
        sending = self._load(intent)
        if sending is None or sending.status is Status.FAILED:
            return None
        if (sending.to, sending.data) != (contract.address, data):
            hint = "one intent is one call; this protects a seat from two conflicting commits"
            raise HeldoutError(f"{intent} was sent with other contents", hint=hint, code="intent_conflict")
        return sending

    def _load(self, intent: str) -> Sending | None:
        if intent in self._open:
            return self._open[intent]
        record = self._journal.get(self._prefix + intent)
        return Sending.from_record(record) if record else None

    def _all(self) -> list[Sending]:
        return [Sending.from_record(record) for _, record in self._journal.items(self._prefix)]

    def _keep(self, sending: Sending) -> None:
        self._journal.put(self._prefix + sending.intent, sending.to_record())
        if sending.status is Status.OPEN:
            self._open[sending.intent] = sending
        else:
            self._open.pop(sending.intent, None)
            self._alarmed.discard(sending.intent)

    def _warn(self, intent: str, what: str) -> None:
        if intent not in self._alarmed:
            self._alarmed.add(intent)
            self._ring("transaction_waits", f"{intent} {what}")
