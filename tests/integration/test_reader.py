"""Reading the chain: the right one, at one block, whatever the RPC does (threats 26 to 33, 39, 87)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import TERMS
from rpc_proxy import Refuse, RpcProxy

from heldout.devnet import Devnet
from heldout.market.chain import Chain, Outbox, connect
from heldout.market.chain.deposits import deposit
from heldout.market.chain.logs import CHECKPOINTS
from heldout.market.chain.rpc import GREATEST_ANSWER
from heldout.market.chain.signatures import sign_digest
from heldout.market.chain.views import Recipient
from heldout.market.errors import ChainProblem, Reverted, RpcsDisagree, WrongNetwork
from heldout.market.journal import Journal
from heldout.market.lifecycle import Outcome, State, fold
from heldout.market.settings import Network
from heldout.market.terms import JobId, JobTerms, Timestamp, job_id, keccak256

pytestmark = pytest.mark.integration

NO_JOB = JobId("0x" + "00" * 32)


@contextmanager
def outbox_of(devnet: Devnet, name: str) -> Iterator[Outbox]:
    with Journal(devnet.state / f"journal-{name}") as journal:
        yield Outbox(devnet.chain(), devnet.keys(name).account, journal)


def terms_of(devnet: Devnet, **changes: Any) -> JobTerms:
    return replace(TERMS, requester=devnet.keys("requester").address, parents=(), **changes)


def post(devnet: Devnet, terms: JobTerms) -> JobId:
    with outbox_of(devnet, "requester") as outbox:
        account = devnet.keys("requester").account
        deposit(outbox.chain, outbox, account, terms.escrow)
        outbox.send(f"post:{terms.salt.hex()}", "post", terms.as_tuple(), wait=True)
    return job_id(terms, devnet.network.chain_id, devnet.network.market)


@pytest.fixture
def proxy(devnet: Devnet) -> Iterator[RpcProxy]:
    with RpcProxy(devnet.network.rpc[0]) as running:
        yield running


def through(proxy: RpcProxy, network: Network, *, timeout_s: float = 5) -> Chain:
    return connect(replace(network, rpc=(proxy.url,)), timeout_s=timeout_s)


# ------------------------------------------------------------------------------------------------ right chain


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("chain id", {"chain_id": 1}),
        ("genesis", {"genesis": "0x" + "12" * 32}),
        ("code hash", {"code_hash": "0x" + "34" * 32}),
        ("code hash", {"market": "0x" + "56" * 20}),
        ("token", {"token": "0x" + "78" * 20}),
    ],
)
def test_another_chain_market_or_token_is_refused(devnet: Devnet, what: str, changes: dict[str, Any]) -> None:
    """Threat 87: before anything is signed."""
    with pytest.raises(WrongNetwork, match=what):
        connect(replace(devnet.network, **changes))


def test_a_chain_that_was_restarted_behind_its_url_is_refused(devnet: Devnet, tmp_path: Path) -> None:
    """Threat 39: also for a process that was connected before."""
    chain = devnet.chain()
    port = int(devnet.network.rpc[0].rpartition(":")[2])
    devnet.processes.stop("anvil")
    with pytest.raises(ChainProblem):
        chain.head()
    time.sleep(1)  # genesis is told by its second
    from heldout.devnet.anvil import Anvil
    from heldout.devnet.processes import Processes

    (tmp_path / "other").mkdir()
    others = Processes(tmp_path / "other")
    try:
        Anvil.start(tmp_path / "other", others, port=port)
        with pytest.raises(WrongNetwork, match="genesis"):
            chain.head()
    finally:
        others.stop()


# ---------------------------------------------------------------------------------------------------- reads


def test_a_job_is_found_with_the_chain_alone(devnet: Devnet) -> None:
    """P2.5: terms, state and money from nothing but its id."""
    terms = terms_of(devnet)
    job = post(devnet, terms)
    chain = devnet.chain()
    view = chain.job(job)
    assert (view.state, view.outcome, view.lanes, view.committee) == (State.OPEN, Outcome.NONE, 2, 3)
    assert chain.held_for(terms) == terms.escrow
    assert chain.terms(job) == terms
    state = fold(chain.events(0, chain.head().number))[job]
    assert (state.terms, state.deadline, state.money_in) == (terms, view.deadline, terms.escrow)
    assert state.posted.timestamp == chain.block(state.posted.block).timestamp
    assert state.deadline == Timestamp(state.posted.timestamp + terms.bidWindow)


def test_what_does_not_exist_is_said(devnet: Devnet) -> None:
    chain = devnet.chain()
    assert chain.job(NO_JOB).state is State.NONE
    with pytest.raises(ChainProblem, match="no job"):
        chain.terms(NO_JOB)
    assert chain.recipients([5]) == {}
    with pytest.raises(ChainProblem, match="block 9999"):
        chain.block(9999)


def test_a_refused_read_carries_the_contracts_error(devnet: Devnet) -> None:
    with pytest.raises(Reverted) as refused:
        devnet.chain().committee(NO_JOB)
    assert refused.value.name == "WrongState"


def test_every_read_can_be_at_one_named_block(devnet: Devnet) -> None:
    chain = devnet.chain()
    before = chain.head()
    devnet.stake(0)
    assert [chain.seat_count(at=at) for at in (before, before.number, None)] == [0, 0, 3]


def test_a_read_at_a_block_that_left_the_chain_is_an_error(devnet: Devnet) -> None:
    """Threat 26: never another branch's state under the same number."""
    devnet.mine(3)
    chain = devnet.chain()
    stale = chain.head()
    devnet.anvil.reorg(2)
    assert chain.head().hash != stale.hash
    with pytest.raises(ChainProblem):
        chain.seat_count(at=stale)


def test_a_seats_wrapping_key_is_that_of_its_last_rotation(devnet: Devnet) -> None:
    devnet.stake(0)
    new = keccak256(b"a new wrapping key")
    hot = devnet.keys("validator-1").address
    with outbox_of(devnet, "validator-0-cold") as outbox:
        outbox.send("rotate", "rotate", 1, hot, new, wait=True)
    first = devnet.keys("validator-0")
    assert devnet.chain().recipients([0, 1]) == {
        0: Recipient(first.address, first.wrap_public),
        1: Recipient(hot, new),
    }


def test_to_whose_key_a_secret_goes_is_for_all_rpcs_to_tell(devnet: Devnet) -> None:
    """Threat 32: one that tells another key, in state or in logs, or lags, stops it; one that is down does not."""
    devnet.stake(0)
    devnet.mine(devnet.network.confirmations)
    seats = [0, 1]

    def another_hot_key(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        answer = ask()
        mine, thief = devnet.keys("validator-0").address, devnet.keys("validator-1").address
        return answer.replace(mine[2:].lower(), thief[2:].lower()) if method == "eth_call" else answer

    def no_rotation(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        return ask()[:1] if method == "eth_getLogs" else ask()

    def behind(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        return None if method == "eth_getBlockByNumber" and params[0] != "0x0" else ask()

    def down(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        raise Refuse(status=503)

    with RpcProxy(devnet.network.rpc[0]) as proxy:
        chain = connect(replace(devnet.network, rpc=(*devnet.network.rpc, proxy.url)))
        told = chain.agreed(lambda each: each.recipients(seats))
        assert told == devnet.chain().recipients(seats)
        for proxy.handler in (another_hot_key, no_rotation, behind):
            with pytest.raises(RpcsDisagree, match=proxy.url):
                chain.agreed(lambda each: each.recipients(seats))
        proxy.handler = down
        assert chain.agreed(lambda each: each.recipients(seats)) == told
        chain.close()


def test_events_are_filtered_by_job_and_name(devnet: Devnet) -> None:
    first, second = (post(devnet, terms_of(devnet, salt=keccak256(text))) for text in (b"1", b"2"))
    chain = devnet.chain()
    head = chain.head().number
    assert {event.job for event in chain.events(0, head, job=second)} == {second}
    assert [event.job for event in chain.events(0, head, names=["Posted"])] == [first, second]
    assert chain.events(0, head, job=first, names=["Artifact"]) == []
    places = [(event.block, event.log_index) for event in chain.events(0, head)]
    assert places == sorted(places)


HOSTILE_WALLETS = (
    "0xfe",  # an invalid opcode
    "0x5b600056",  # an endless loop
    "0x6207a1205ff3",  # half a megabyte of zeros
    "0x63ffffffff5ff3",  # more memory than there is
    "0x5f5ffd",  # a revert without a word
)
"""Code of an account that is asked whether it signed: none of it may raise, or a stranger stops whoever asks."""


def test_signatures_are_checked_by_key_or_by_the_wallet_that_is_a_contract(devnet: Devnet) -> None:
    """P8: ERC-1271, in the contract's order: keys first."""
    chain, keys, digest = devnet.chain(), devnet.keys("provider-0"), keccak256(b"bid")
    signature = sign_digest(keys.account, digest)
    assert chain.verify_signature(keys.address, digest, signature)
    assert not chain.verify_signature(devnet.keys("requester").address, digest, signature)
    agreeing, refusing = "0x" + "a1" * 20, "0x" + "a2" * 20
    devnet.anvil.call("anvil_setCode", agreeing, "0x631626ba7e60e01b60005260206000f3")
    devnet.anvil.call("anvil_setCode", refusing, "0x60006000fd")
    assert chain.verify_signature(agreeing, digest, b"any")
    assert not chain.verify_signature(refusing, digest, signature)
    echoing = "0x" + "ec" * 20  # returns what it is sent, which begins with the very selector that means yes
    devnet.anvil.call("anvil_setCode", echoing, "0x365f5f37365ff3")
    assert not chain.verify_signature(echoing, digest, signature)
    for hostile in HOSTILE_WALLETS:
        devnet.anvil.call("anvil_setCode", echoing, hostile)
        assert not chain.verify_signature(echoing, digest, signature), hostile
    devnet.anvil.call(
        "anvil_setCode", keys.address, "0xef0100" + refusing[2:]
    )  # EIP-7702: a key that lends itself code
    assert chain.verify_signature(keys.address, digest, signature)
    assert not chain.verify_signature(keys.address, keccak256(b"another"), signature)


# ------------------------------------------------------------------------------------------------- following


@pytest.mark.parametrize("depth", [1, 3, 5, 12])
def test_a_reorg_is_rolled_back_and_followed_along_the_new_branch(devnet: Devnet, depth: int) -> None:
    """Threats 26 and 27: what was told of lost blocks is void, and nothing else is told twice."""
    chain = devnet.chain()
    devnet.mine(depth)
    told = []
    cursor = chain.start()
    for number in range(2):
        devnet.stake(number)
        events, cursor, rolled_back = chain.follow(cursor)
        assert rolled_back is None
        told += events
    devnet.anvil.reorg(depth)
    devnet.stake(2)
    events, cursor, rolled_back = chain.follow(cursor)
    assert rolled_back is not None and rolled_back <= chain.head().number - depth
    told = [event for event in told if event.block <= rolled_back] + events
    assert told == chain.events(0, chain.head().number)
    assert chain.follow(cursor) == ([], cursor, None)


def test_a_reorg_deeper_than_all_checkpoints_begins_anew(devnet: Devnet) -> None:
    """Threat 27."""
    chain = devnet.chain()
    devnet.stake(0)
    _, cursor, _ = chain.follow(chain.start())
    lost = replace(cursor, checkpoints=tuple((number, "0x" + "00" * 32) for number, _ in cursor.checkpoints))
    events, _, rolled_back = chain.follow(lost)
    assert rolled_back == chain.start().block
    assert events == chain.events(0, chain.head().number)
    assert len(cursor.checkpoints) <= CHECKPOINTS


def test_a_long_chain_is_followed_in_steps_without_a_gap(devnet: Devnet) -> None:
    for number in range(3):
        devnet.stake(number)
        devnet.mine(10)
    chain = devnet.chain()
    told, cursor = [], chain.start()
    while cursor.block < chain.head().number:
        events, cursor, _ = chain.follow(cursor, most=7)
        told += events
    assert told == chain.events(0, chain.head().number)


def test_following_can_stay_below_the_confirmations(devnet: Devnet) -> None:
    devnet.stake(0)
    chain = devnet.chain()
    assert chain.follow(chain.start(), confirmations=2).cursor.block == chain.head().number - 2


# -------------------------------------------------------------------------------------------------- bad RPCs


def test_an_rpc_that_is_down_can_be_tried_again(devnet: Devnet) -> None:
    """Threat 29."""
    chain = devnet.chain()
    devnet.processes.stop("anvil")
    with pytest.raises(ChainProblem) as down:
        chain.head()
    assert down.value.retryable and down.value.hint


def test_an_rpc_that_accepts_and_never_answers_costs_one_timeout(devnet: Devnet) -> None:
    """Threat 30."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        network = replace(devnet.network, rpc=(f"http://127.0.0.1:{silent.getsockname()[1]}",))
        began = time.monotonic()
        with pytest.raises(ChainProblem, match="did not answer"):
            connect(network, timeout_s=0.5)
        assert time.monotonic() - began < 5


def test_the_second_rpc_is_asked_when_the_first_is_down_and_must_be_the_same_chain(devnet: Devnet) -> None:
    dead = "http://127.0.0.1:1"
    chain = connect(replace(devnet.network, rpc=(dead, *devnet.network.rpc)))
    assert chain.head().number > 0
    with RpcProxy(devnet.network.rpc[0]) as other:
        other.handler = lambda method, params, ask: "0x1" if method == "eth_chainId" else ask()
        with pytest.raises(WrongNetwork, match="chain id"):
            connect(replace(devnet.network, rpc=(dead, other.url)))


def test_pages_of_logs_are_halved_until_the_rpc_answers_them(devnet: Devnet, proxy: RpcProxy) -> None:
    """Threat 33: no event is lost at a seam."""
    for number in range(3):
        devnet.stake(number)
    expected = devnet.chain().events(0, devnet.chain().head().number)

    def short_pages(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        if method == "eth_getLogs":
            span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16)
            if span >= 3:
                raise Refuse("query exceeds max block range 3")
        return ask()

    chain = through(proxy, devnet.network)
    proxy.handler = short_pages
    assert chain.events(0, chain.head().number) == expected
    assert proxy.calls["eth_getLogs"] > 10


def test_an_rpc_that_says_429_is_asked_again(devnet: Devnet, proxy: RpcProxy) -> None:
    """Threat 33."""
    chain = through(proxy, devnet.network)
    left = [2]

    def busy(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        if left[0]:
            left[0] -= 1
            raise Refuse(status=429)
        return ask()

    proxy.handler = busy
    assert chain.head().number == devnet.chain().head().number


def test_a_node_that_lags_does_not_pass_for_one_without_events(devnet: Devnet, proxy: RpcProxy) -> None:
    """Threat 31: logs come with the last block of their page, or not at all."""
    chain = through(proxy, devnet.network)
    head = chain.head()
    lagging = hex(head.number)
    proxy.handler = lambda method, params, ask: None if params and params[0] == lagging else ask()
    with pytest.raises(ChainProblem, match="does not have block"):
        chain.events(0, head.number)


def test_a_head_that_moves_far_back_is_refused_until_it_insists(
    devnet: Devnet, proxy: RpcProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Threat 31: never back silently."""
    devnet.mine(10)
    chain = through(proxy, devnet.network)
    old = devnet.anvil.call("eth_getBlockByNumber", "0x3", False)
    proxy.handler = lambda method, params, ask: old if params[:1] == ["latest"] else ask()
    for _ in range(3):
        with pytest.raises(ChainProblem, match="moved back"):
            chain.head()
    assert chain.head().number == 3
    assert "moved back" in caplog.text


@pytest.mark.parametrize("answer", ["nonsense", "a list", "too large", "too deep"])
def test_nonsense_is_the_rpcs_fault_and_can_be_tried_again(devnet: Devnet, answer: str) -> None:
    """Threat 32."""
    too_large, too_deep = b" " * (GREATEST_ANSWER + 1), b"[" * 1_000_000
    body = {"nonsense": b"<html>", "a list": b"[1, 2]", "too large": too_large, "too deep": too_deep}[answer]
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Babbling(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Babbling)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        with pytest.raises(ChainProblem) as refused:
            connect(replace(devnet.network, rpc=(f"http://127.0.0.1:{server.server_address[1]}",)))
        assert refused.value.retryable
    finally:
        server.shutdown()
        server.server_close()


def test_one_read_is_one_request(devnet: Devnet, proxy: RpcProxy) -> None:
    chain = through(proxy, devnet.network)
    proxy.calls.clear()
    chain.seat_count()
    assert proxy.calls == {"eth_call": 1}
