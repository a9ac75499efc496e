"""The outbox on a real chain: one effect per intent, whatever happens on the way (threats 26, 28, 34 to 38, 41)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from rpc_proxy import Refuse, RpcProxy

from heldout.devnet import Devnet
from heldout.market.chain import Chain, FeePolicy, Outbox, Pending, Receipt, Urgency
from heldout.market.chain.deposits import deposit
from heldout.market.chain.fees import GWEI
from heldout.market.errors import ChainProblem, HeldoutError, InsufficientFunds, Reverted, TimedOut
from heldout.market.journal import Journal, JournalUnwritable
from heldout.market.money import ONE_TOKEN, Wei

pytestmark = pytest.mark.integration

WHO = "requester"
HELLO = b"hello"


@contextmanager
def outbox_of(
    devnet: Devnet, *, chain: Chain | None = None, journal: str = "journal", **settings: Any
) -> Iterator[Outbox]:
    with Journal(devnet.state / journal) as opened:
        yield Outbox(chain or devnet.chain(), devnet.keys(WHO).account, opened, **settings)


@pytest.fixture
def outbox(devnet: Devnet) -> Iterator[Outbox]:
    with outbox_of(devnet) as opened:
        yield opened


def stop_mining(devnet: Devnet) -> None:
    devnet.anvil.call("evm_setAutomine", False)


def said(devnet: Devnet, message: bytes = HELLO) -> int:
    """How often the chain has heard it: the effect that must be there once."""
    chain = devnet.chain()
    events = chain.events(0, chain.head().number, names=["Announced"])
    return sum(event.args["message"] == message for event in events)


def finish(outbox: Outbox, devnet: Devnet) -> list[Receipt]:
    devnet.mine(devnet.network.confirmations + 1)
    return outbox.poll()


# ------------------------------------------------------------------------------------------------ the plain road


def test_an_intent_is_sent_once_however_often_it_is_asked_for(devnet: Devnet, outbox: Outbox) -> None:
    first = outbox.send("hello", "announce", HELLO, wait=True)
    again = outbox.send("hello", "announce", HELLO, wait=True)
    assert (first.ok, first.hash) == (True, again.hash)
    assert [receipt.hash for receipt in finish(outbox, devnet)] == [first.hash]
    assert outbox.send("hello", "announce", HELLO, wait=True).hash == first.hash
    assert (said(devnet), outbox.pending) == (1, [])


def test_a_receipt_tells_cost_and_events(outbox: Outbox) -> None:
    receipt = outbox.send("hello", "announce", HELLO, wait=True)
    assert [(event.name, event.args["message"]) for event in receipt.events] == [("Announced", HELLO)]
    assert receipt.cost >= receipt.gas_used > 21_000


def test_other_contents_under_the_same_name_are_refused(devnet: Devnet, outbox: Outbox) -> None:
    """P11b: no key ever makes two conflicting commits."""
    outbox.send("commit:1", "announce", HELLO, wait=True)
    with pytest.raises(HeldoutError) as refused:
        outbox.send("commit:1", "announce", b"something else")
    assert refused.value.code == "intent_conflict"
    assert said(devnet, b"something else") == 0


def test_what_the_contract_would_refuse_is_never_sent(devnet: Devnet, outbox: Outbox) -> None:
    me = devnet.keys(WHO).address
    with pytest.raises(Reverted) as refused:
        outbox.send("withdraw", "withdraw", me, 5)
    assert (refused.value.name, refused.value.values) == ("InsufficientFree", (me, 0, 5))
    assert "deposit" in refused.value.hint
    assert (outbox.pending, devnet.anvil.call("eth_getTransactionCount", me, "pending")) == ([], "0x0")


def test_many_intents_at_once_get_nonces_of_their_own(devnet: Devnet, outbox: Outbox) -> None:
    stop_mining(devnet)
    for number in range(6):
        assert isinstance(outbox.send(f"hello:{number}", "announce", HELLO), Pending)
    assert [pending.nonce for pending in outbox.pending] == list(range(6))
    finish(outbox, devnet)
    assert (said(devnet), outbox.pending) == (6, [])


def test_what_was_written_as_the_disk_filled_up_is_sent_once_there_is_room(
    devnet: Devnet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 46: the record was committed, and only then was there no room to move it where it lasts."""
    put = Journal.put

    def put_and_fail(journal: Journal, key: str, value: dict[str, Any]) -> None:
        put(journal, key, value)
        raise JournalUnwritable("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "put", put_and_fail)
        with pytest.raises(JournalUnwritable):
            outbox.send("reveal", "announce", HELLO)
    assert outbox.send("another", "announce", b"another", wait=True).ok  # takes the nonce
    assert outbox.send("reveal", "announce", HELLO, wait=True).ok
    finish(outbox, devnet)
    assert (said(devnet), said(devnet, b"another"), outbox.pending) == (1, 1, [])


def test_waiting_ends_in_time_and_the_same_call_goes_on(devnet: Devnet, outbox: Outbox) -> None:
    stop_mining(devnet)
    with pytest.raises(TimedOut):
        outbox.send("hello", "announce", HELLO, wait=True, timeout_s=0.5)
    devnet.mine()
    assert outbox.send("hello", "announce", HELLO, wait=True).ok
    assert said(devnet) == 1


# ---------------------------------------------------------------------------------------------- killed, restarted

_KILLED = """
import os, pathlib, signal, sys
from heldout.devnet import Devnet
from heldout.market.chain import Outbox, wallet
from heldout.market.journal import Journal

devnet = Devnet.attach(pathlib.Path(sys.argv[1]))
wallet.Wallet.broadcast = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with Journal(devnet.state / "journal") as journal:
    Outbox(devnet.chain(), devnet.keys("requester").account, journal).send("hello", "announce", b"hello")
"""


def test_a_node_killed_between_journal_and_broadcast_sends_the_same_after_its_restart(devnet: Devnet) -> None:
    """Threat 41."""
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(devnet.state)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert said(devnet) == 0
    with outbox_of(devnet) as outbox:
        (before,) = outbox.pending
        outbox.poll()
        receipt = outbox.send("hello", "announce", HELLO, wait=True)
        assert receipt.hash in before.hashes
        finish(outbox, devnet)
    assert said(devnet) == 1


def test_a_restart_after_the_broadcast_finds_what_was_mined(devnet: Devnet) -> None:
    with outbox_of(devnet) as first:
        sent = first.send("hello", "announce", HELLO)
    with outbox_of(devnet) as second:
        hashes = sent.hashes if isinstance(sent, Pending) else (sent.hash,)  # mined at once, or a moment later
        assert second.send("hello", "announce", HELLO, wait=True).hash in hashes
    assert said(devnet) == 1


# ----------------------------------------------------------------------------------------- dropped, stuck, replaced


def test_a_dropped_transaction_is_broadcast_again(devnet: Devnet, outbox: Outbox) -> None:
    """Threat 35."""
    stop_mining(devnet)
    sent = outbox.send("hello", "announce", HELLO)
    assert isinstance(sent, Pending)
    devnet.anvil.call("anvil_dropTransaction", sent.hashes[0])
    outbox.poll()
    devnet.mine()
    assert outbox.outcome("hello").hash == sent.hashes[0]  # type: ignore[union-attr]
    assert said(devnet) == 1


def test_a_stuck_transaction_is_replaced_by_a_dearer_one_and_either_may_be_mined(
    devnet: Devnet, outbox: Outbox
) -> None:
    """Threats 34 and 35: the base fee jumps above the first offer."""
    stop_mining(devnet)
    first = outbox.send("hello", "announce", HELLO)
    for _ in range(4):
        devnet.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))
        devnet.mine()
    assert isinstance(outbox.outcome("hello"), Pending)
    outbox.poll()
    (replaced,) = outbox.pending
    assert replaced.nonce == first.nonce and len(replaced.hashes) == 2  # type: ignore[union-attr]
    devnet.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))
    devnet.mine()
    receipt = outbox.outcome("hello")
    assert isinstance(receipt, Receipt) and receipt.hash == replaced.hashes[1]
    assert said(devnet) == 1


def test_above_the_cap_it_waits_with_an_alarm_and_goes_when_the_fee_falls(devnet: Devnet) -> None:
    """Threat 34."""
    rung: list[str] = []
    policy = FeePolicy(cap=5 * GWEI)
    with outbox_of(devnet, policy=policy, alarm=lambda code, message: rung.append(code)) as outbox:
        stop_mining(devnet)
        outbox.send("hello", "announce", HELLO)
        for _ in range(12):
            devnet.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
            devnet.mine()
            outbox.poll()
        assert rung == ["transaction_waits"]
        devnet.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(1 * GWEI))
        devnet.mine()
        outbox.poll()
        devnet.mine()
        assert isinstance(outbox.outcome("hello"), Receipt)
    assert said(devnet) == 1


def test_an_urgent_intent_lifts_what_waits_before_it(devnet: Devnet) -> None:
    """Threat 34: a reveal behind a cheap transaction is as late as that one."""
    with outbox_of(devnet, policy=FeePolicy(cap=5 * GWEI)) as outbox:
        stop_mining(devnet)
        outbox.send("cheap", "announce", b"cheap")
        outbox.send("reveal", "announce", HELLO, urgency=Urgency.REVEAL)
        for _ in range(8):
            devnet.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(12 * GWEI))
            devnet.mine()
            outbox.poll()
        assert isinstance(outbox.outcome("cheap"), Receipt)
        assert isinstance(outbox.outcome("reveal"), Receipt)


# ------------------------------------------------------------------------------------------------------- reorgs


@pytest.mark.parametrize("depth", [1, 2])
def test_a_reorg_below_the_confirmations_is_mended_by_the_same_transaction(
    devnet: Devnet, outbox: Outbox, depth: int
) -> None:
    """Threats 26 and 28: anvil_reorg forgets transactions, mempool included."""
    receipt = outbox.send("commit", "announce", HELLO, wait=True)
    devnet.mine(depth - 1)
    devnet.anvil.reorg(depth)
    assert said(devnet) == 0
    outbox.poll()
    devnet.mine()
    assert outbox.send("commit", "announce", HELLO, wait=True).hash == receipt.hash
    finish(outbox, devnet)
    assert (said(devnet), outbox.pending) == (1, [])


def test_a_reorg_beyond_the_confirmations_is_mended_when_the_intent_is_asked_for_again(
    devnet: Devnet, outbox: Outbox
) -> None:
    """Threat 27: a node that reads the chain notices that its commit is gone, and sends the SAME one."""
    receipt = outbox.send("commit", "announce", HELLO, wait=True)
    finish(outbox, devnet)
    assert outbox.pending == []
    devnet.anvil.reorg(6)
    assert said(devnet) == 0
    assert outbox.send("commit", "announce", HELLO, wait=True).hash == receipt.hash
    assert said(devnet) == 1


def test_a_nonce_lost_in_a_deep_reorg_does_not_block_those_after_it(devnet: Devnet, outbox: Outbox) -> None:
    """Threat 36: the first intent is final for us, its block goes, the second waits for its nonce."""
    outbox.send("first", "announce", b"first", wait=True)
    finish(outbox, devnet)
    outbox.send("second", "announce", HELLO, wait=True)
    devnet.anvil.reorg(8)
    outbox.poll()
    devnet.mine()
    outbox.poll()
    finish(outbox, devnet)
    assert (said(devnet, b"first"), said(devnet), outbox.pending) == (1, 1, [])


# ----------------------------------------------------------------------------------------- others with the same key


def by_hand(devnet: Devnet, nonce: int, gwei: int) -> None:
    """Another program sends a transfer with the same key."""
    me = devnet.keys(WHO).address
    request = {"from": me, "to": me, "value": "0x1", "nonce": hex(nonce), "gas": hex(21_000)}
    fees = {"maxFeePerGas": hex(gwei * GWEI), "maxPriorityFeePerGas": hex(gwei * GWEI)}
    devnet.anvil.call("eth_sendTransaction", request | fees)


def test_a_nonce_that_another_program_used_is_replaced_by_a_new_one(devnet: Devnet, outbox: Outbox) -> None:
    """Threat 36: resync from the chain, one effect."""
    stop_mining(devnet)
    sent = outbox.send("hello", "announce", HELLO)
    assert isinstance(sent, Pending)
    devnet.anvil.call("anvil_dropTransaction", sent.hashes[0])
    by_hand(devnet, sent.nonce, 50)
    devnet.mine(4)
    outbox.poll()
    (moved,) = outbox.pending
    assert moved.nonce == sent.nonce + 1
    finish(outbox, devnet)
    assert (said(devnet), outbox.pending) == (1, [])


def test_a_nonce_taken_in_the_mempool_is_passed_over_at_once(devnet: Devnet, outbox: Outbox) -> None:
    stop_mining(devnet)
    with outbox_of(devnet, journal="other") as other:
        other.send("theirs", "announce", b"theirs")
        outbox.send("ours", "announce", HELLO)
        assert (other.pending[0].nonce, outbox.pending[0].nonce) == (0, 1)
        devnet.mine()
        assert (said(devnet, b"theirs"), said(devnet)) == (1, 1)


def test_a_gap_left_by_another_program_is_filled(devnet: Devnet, outbox: Outbox) -> None:
    """Threat 36: their transaction is lost, ours waits behind its nonce."""
    stop_mining(devnet)
    by_hand(devnet, 0, 5)
    theirs = devnet.anvil.call("eth_getBlockByNumber", "pending", False)["transactions"]
    outbox.send("hello", "announce", HELLO)
    assert outbox.pending[0].nonce == 1
    devnet.anvil.call("anvil_dropTransaction", theirs[0])
    devnet.mine()
    outbox.poll()
    finish(outbox, devnet)
    assert said(devnet) == 1


def test_a_lost_race_fails_once_and_is_not_tried_for_ever(devnet: Devnet, outbox: Outbox) -> None:
    """Threat 38: both pass the trial, one is mined first."""
    me = devnet.keys(WHO)
    deposit(outbox.chain, outbox, me.account, Wei(5 * ONE_TOKEN))
    stop_mining(devnet)
    outbox.send("first", "withdraw", me.address, 5 * ONE_TOKEN)
    outbox.send("second", "withdraw", me.address, 5 * ONE_TOKEN)
    devnet.mine()
    with pytest.raises(Reverted) as refused:
        outbox.wait("second")
    assert refused.value.name in ("InsufficientFree", "LostRace")
    final = finish(outbox, devnet)
    assert {(receipt.intent, receipt.ok) for receipt in final} >= {("second", False)}
    assert outbox.pending == []
    with pytest.raises(Reverted, match="InsufficientFree"):
        outbox.send("second", "withdraw", me.address, 5 * ONE_TOKEN)


# ------------------------------------------------------------------------------------------------------ gas money


def test_the_reserve_is_for_commits_and_reveals_only(devnet: Devnet) -> None:
    """Threat 37: new work is refused before it is too late to reveal."""
    with outbox_of(devnet, policy=FeePolicy(reserve_gas=1_000_000)) as outbox:
        devnet.anvil.call("anvil_setBalance", outbox.address, hex(GWEI * 500_000))
        devnet.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI // 10))
        devnet.mine()
        assert not outbox.affordable(100_000)
        with pytest.raises(InsufficientFunds) as refused:
            outbox.send("accept", "announce", b"new work")
        assert (refused.value.code, "reserve" in refused.value.hint) == ("insufficient_gas_money", True)
    with outbox_of(devnet, policy=FeePolicy(reserve_gas=1_000_000)) as outbox:
        devnet.anvil.call("anvil_setBalance", outbox.address, hex(GWEI * 2_000_000))
        assert outbox.send("reveal", "announce", HELLO, urgency=Urgency.REVEAL, wait=True).ok


# ------------------------------------------------------------------------------------------------------- bad RPCs


def test_an_rpc_that_does_not_take_transactions_is_tried_again(devnet: Devnet) -> None:
    """Threat 29: what is in the journal is sent when the RPC is back."""

    def refusing(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        if method == "eth_sendRawTransaction":
            raise Refuse("mempool is full")
        return ask()

    with RpcProxy(devnet.network.rpc[0]) as proxy:
        proxy.handler = refusing
        chain = Chain(replace(devnet.network, rpc=(proxy.url,)))
        with outbox_of(devnet, chain=chain) as outbox:
            assert isinstance(outbox.send("hello", "announce", HELLO), Pending)
            assert said(devnet) == 0
            proxy.handler = lambda method, params, ask: ask()
            outbox.poll()
            assert outbox.send("hello", "announce", HELLO, wait=True).ok
        chain.close()
    assert said(devnet) == 1


def test_a_node_that_finds_the_offer_too_low_is_not_mistaken_for_a_taken_nonce(devnet: Devnet) -> None:
    """Geth's "transaction underpriced" is about its own least tip: a new nonce would only leave a gap."""

    def picky(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        if method == "eth_sendRawTransaction":
            raise Refuse("transaction underpriced: tip needed 2, tip permitted 1")
        return ask()

    with RpcProxy(devnet.network.rpc[0]) as proxy:
        proxy.handler = picky
        chain = Chain(replace(devnet.network, rpc=(proxy.url,)))
        with outbox_of(devnet, chain=chain) as outbox:
            outbox.send("hello", "announce", HELLO)
            assert [(pending.nonce, len(pending.hashes)) for pending in outbox.pending] == [(0, 1)]
        chain.close()


def test_an_answer_lost_on_the_way_does_not_send_twice(devnet: Devnet) -> None:
    """The transaction arrives and is mined, the RPC's answer does not come back."""

    def swallowing(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_sendRawTransaction":
            raise Refuse(status=502)
        return answer

    with RpcProxy(devnet.network.rpc[0]) as proxy:
        proxy.handler = swallowing
        chain = Chain(replace(devnet.network, rpc=(proxy.url,)))
        with outbox_of(devnet, chain=chain) as outbox:
            assert outbox.send("hello", "announce", HELLO, wait=True).ok
            finish(outbox, devnet)
            assert outbox.pending == []
        chain.close()
    assert said(devnet) == 1


def test_nothing_is_sent_while_two_rpcs_disagree_about_the_chain(devnet: Devnet) -> None:
    """Threat 32: money moves only when both agree; one that is merely down has no say."""

    def other_branch(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        block = ask()
        return {**block, "hash": "0x" + "66" * 32} if method == "eth_getBlockByNumber" and params[0] != "0x0" else block

    with RpcProxy(devnet.network.rpc[0]) as proxy:
        proxy.handler = other_branch
        for second, refused in ((proxy.url, True), ("http://127.0.0.1:1", False)):
            chain = Chain(replace(devnet.network, rpc=(*devnet.network.rpc, second)))
            with outbox_of(devnet, chain=chain) as outbox:
                if refused:
                    with pytest.raises(ChainProblem) as found:
                        outbox.send("hello", "announce", HELLO)
                    assert (found.value.code, outbox.pending) == ("rpcs_disagree", [])
                else:
                    assert outbox.send("hello", "announce", HELLO, wait=True).ok
            chain.close()


def test_waiting_outlives_an_rpc_that_is_gone_for_a_moment(devnet: Devnet) -> None:
    """Threat 29."""
    gone_until = time.monotonic() + 1.5

    def flaky(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        if method == "eth_getTransactionReceipt" and time.monotonic() < gone_until:
            raise Refuse(status=503)
        return ask()

    with RpcProxy(devnet.network.rpc[0]) as proxy:
        chain = Chain(replace(devnet.network, rpc=(proxy.url,)))
        with outbox_of(devnet, chain=chain) as outbox:
            stop_mining(devnet)
            outbox.send("hello", "announce", HELLO)
            proxy.handler = flaky
            devnet.mine()
            assert outbox.wait("hello", timeout_s=20).ok
        chain.close()


def test_a_token_without_permits_is_deposited_as_often_as_it_is_told(outbox: Outbox, devnet: Devnet) -> None:
    """P1.3: the same amount again, from the same free balance. The token is the devnet's, without its `nonces`."""
    chain, me, amount = outbox.chain, devnet.keys(WHO), Wei(5 * ONE_TOKEN)
    code = str(devnet.anvil.call("eth_getCode", devnet.network.token, "latest"))
    assert code.count("637ecebe00") == 1
    devnet.anvil.call("anvil_setCode", devnet.network.token, code.replace("637ecebe00", "63deadbeef"))
    before = chain.token_balance(me.address)
    for time_ in (1, 2):
        deposit(chain, outbox, me.account, amount)
        assert chain.free(me.address) == amount
        outbox.send(f"withdraw:{time_}", "withdraw", me.address, amount, wait=True)
        devnet.mine(devnet.network.confirmations + 1)
        outbox.poll()
    deposit(chain, outbox, me.account, amount)
    assert chain.token_balance(me.address) == before - amount
