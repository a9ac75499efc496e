"""The requester's duties on a real chain with no market service: every letter travels by `announce` (P2.5, P8, P11)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from heldout.devnet import Devnet
from heldout.market.alarm import Alarm
from heldout.market.chain.signatures import sign_digest
from heldout.market.daemon import Isolation
from heldout.market.errors import AlreadyRunning, BadInput, TimedOut
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import REQUESTER, Outcome, State
from heldout.market.messages import Bid, Kind, Letter, bid_letter, decode_answer
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.split import SEED_DELAY
from heldout.market.terms import JobId, job_id, keccak256
from heldout.requester_cli.bids import valid_offers
from heldout.requester_cli.client import Client
from tests.requester_steps import NOW, Provider, accepted, announced, post, step, training_keys
from tests.rpc_proxy import Refuse, RpcProxy
from tests.servers import wait_until

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("bids_first", [False, True], ids=["posted", "called for"])
def test_shards_are_offered_in_one_job_at_a_time(client: Client, folder: Path, bids_first: bool) -> None:
    """Threat 67: both could be accepted, and a provider of one know what the other holds out."""
    client.seal(folder)
    first = client.draft(folder)
    (client.call if bids_first else client.post)(first)
    (folder / "job.toml").write_text((folder / "job.toml").read_text().replace("price = 100", "price = 99"))
    second = client.draft(folder)
    for offer in (client.post, client.call):
        with pytest.raises(BadInput) as refused:
            offer(second)
        assert refused.value.code == "data_used" and first.job in refused.value.message
    if bids_first:
        client.forget(client.job(first.job))
    else:
        client.cancel(client.job(first.job))
    client.cancel(client.job(client.post(second)))


def test_the_cheapest_backed_bid_is_accepted_and_gets_the_training_keys(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    job = post(client, folder)
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    provider.bid(client, job, price=90)
    state = accepted(town, client, keeper, provider, job)
    assert [lane.price for lane in state.lanes] == [50 * ONE_TOKEN]
    step(client, keeper)
    (letter,) = announced(client, job, Kind.TRAINING_KEYS)
    assert provider.opened(letter) == training_keys(client, state)
    step(client, keeper)
    assert len(announced(client, job, Kind.TRAINING_KEYS)) == 1, "announcing costs gas: once is enough"

    client.seal(folder)
    (folder / "job.toml").write_text((folder / "job.toml").read_text().replace("price = 100", "price = 99"))
    with pytest.raises(BadInput) as refused:
        client.post(client.draft(folder))
    assert refused.value.code == "data_used", "one use of a data root (threats.md 67)"

    for seconds in (400, 10):  # close, then settle
        town.warp(seconds)
        step(client, keeper)
    ended = client.job(job)
    assert (ended.outcome, ended.sums) == (Outcome.UNSUBMITTED, True)
    town.mine(4)
    step(client, keeper)
    assert keeper.is_done(job) and keeper.active == []


def test_an_end_that_a_deep_reorg_took_back_is_made_again(town: Devnet, client: Client, folder: Path) -> None:
    """Threat 27: deeper than the network's confirmations, so that the job was done for the requester already."""
    job = post(client, folder)
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    town.warp(client.job(job).deadline - client.chain.head().timestamp + 1)
    step(client, keeper)
    town.mine(client.network.confirmations + 1)
    step(client, keeper)
    assert keeper.is_done(job) and client.job(job).outcome is Outcome.EXPIRED
    town.anvil.take_back(max(event.block for event in client.events(client.job(job))))
    town.mine(client.network.confirmations + 1)
    client.close()  # a connection takes a deep reorg for a lagging RPC at first
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    assert client.job(job).state is State.OPEN and keeper.is_done(job)
    step(client, keeper)
    assert not keeper.is_done(job) and client.job(job).outcome is Outcome.EXPIRED


def test_a_job_in_trouble_is_tried_less_and_less_often(client: Client, folder: Path) -> None:
    """Threat 29's back-off, for one job alone: two seconds, then four."""
    job, tried, now = post(client, folder), [], [0.0]

    def look(*_: object) -> None:
        tried.append(now[0])
        raise BadInput("no luck")

    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    keeper.look = look  # type: ignore[method-assign, assignment]
    keeper._isolation = Isolation(Alarm(), clock=lambda: now[0])
    for now[0] in (0.0, 2.1, 4.2, 6.2):
        keeper.step(client.chain.head())
    assert tried == [0.0, 2.1, 6.2]


def test_a_requester_that_lost_its_disk_goes_on_with_the_key_ring_alone(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    """Journal, job folder and all records are gone: terms come from the chain, keys from the ring."""
    job = post(client, folder)
    state = accepted(town, client, client.keeper(Alarm(), policy=NOW, only=[job]), provider, job)
    client.close()
    shutil.rmtree(folder)
    fresh = town.state / "restored"
    with Client(town.network, town.keys("requester"), home=fresh) as restored:
        keeper = restored.keeper(Alarm(), policy=NOW)
        step(restored, keeper)
        assert job in keeper.active
        (letter,) = announced(restored, job, Kind.TRAINING_KEYS)
        assert provider.opened(letter) == training_keys(restored, state)


def test_no_key_leaves_while_two_rpcs_tell_different_things(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    """Threat 32: same blocks, same hashes, and events that only one of them tells; another split; no such block."""
    job = post(client, folder)
    state = accepted(town, client, client.keeper(Alarm(), policy=NOW, only=[job]), provider, job)
    assert state.accept_block is not None
    drawn_by = hex(state.accept_block + SEED_DELAY)
    client.close()

    def nothing_happened(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        return [] if method == "eth_getLogs" else ask()

    def another_split(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        answer = ask()
        return {**answer, "hash": "0x" + "66" * 32} if params and params[0] == drawn_by else answer

    def behind(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        return None if method == "eth_getBlockByNumber" and params[0] != "0x0" else ask()

    def no_logs(method: str, params: list[Any], ask: Callable[[], Any]) -> Any:
        if method == "eth_getLogs":
            raise Refuse("limit exceeded")
        return ask()

    with RpcProxy(town.network.rpc[0]) as proxy:
        network = replace(town.network, rpc=(*town.network.rpc, proxy.url))
        with Client(network, town.keys("requester"), home=town.home("requester"), journal="doubting") as doubting:
            alarm = Alarm()
            keeper = doubting.keeper(alarm, policy=NOW, only=[job])
            events = doubting.events(doubting.job(job))
            proxy.handler = no_logs
            doubting.chain.confirm_events(job, events, doubting.chain.head().number)  # who is silent has no say
            for proxy.handler in (nothing_happened, another_split, behind):
                alarm.clear("rpcs_disagree", job=job)
                keeper.step(doubting.chain.head())
                assert announced(client, job, Kind.TRAINING_KEYS) == []
                assert ("rpcs_disagree", job) in alarm.active
            proxy.handler = lambda method, params, ask: ask()
            step(doubting, keeper)
            assert ("rpcs_disagree", job) not in alarm.active
            assert len(announced(client, job, Kind.TRAINING_KEYS)) == 1
    assert proxy.calls["eth_getLogs"] >= 2


def test_a_demand_is_answered_on_chain_by_the_next_cycle(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    """P4.5: the answer restarts the stage and holds the envelope itself."""
    job = post(client, folder)
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    state = accepted(town, client, keeper, provider, job)
    provider.outbox.send(f"demand:{job}", "demand", state.terms.as_tuple(), REQUESTER, 0, wait=True)
    assert REQUESTER in client.job(job).pending
    step(client, keeper)
    answered = client.job(job)
    assert answered.pending == frozenset() and answered.state is State.RUNNING
    ((stage, _, party, envelopes),) = answered.answers
    assert (stage, party) == (State.RUNNING, REQUESTER)
    assert provider.opened(decode_answer(envelopes)[0]) == training_keys(client, state)


def test_forged_unbacked_and_expired_bids_are_never_accepted(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    """Bad input: an expired or forged bid."""
    job = post(client, folder)
    network, head = client.network, client.chain.head()
    poor, honest = town.keys("provider-1"), provider.keys

    def announce(signer: KeyRing, claimed: KeyRing, price: int, valid: int, wrap_key: bytes) -> None:
        bid = Bid(bytes.fromhex(job[2:]), claimed.address, Wei(price), wrap_key, head.timestamp + valid, price)
        signature = sign_digest(signer.account, bid.digest(network.chain_id, network.market))
        provider.outbox.send(f"bad:{job}:{price}", "announce", bid_letter(bid, signature).encode(), wait=True)

    announce(poor, honest, 1, 3600, honest.wrap_public)  # signed by somebody else
    announce(poor, poor, 2, 3600, poor.wrap_public)  # without collateral
    announce(honest, honest, 3, -1, honest.wrap_public)  # expired
    announce(honest, honest, 4, 3600, bytes(32))  # a key that nothing can be wrapped to
    assert client.offers(client.job(job)) == ()
    step(client, client.keeper(Alarm(), policy=NOW, only=[job]))
    assert client.job(job).state is State.OPEN


def test_two_jobs_never_share_sealed_data(town: Devnet, client: Client, provider: Provider, folder: Path) -> None:
    """Threat 67: two splits of the same shards hold out nothing. One is posted behind the client's back."""
    first = post(client, folder)
    path = folder / "job.toml"
    path.write_text(path.read_text().replace("price = 100", "price = 99"))
    second = client.draft(folder)
    with pytest.raises(BadInput, match=first) as refused:
        client.post(second)
    assert refused.value.code == "data_used"
    for blob in second.blobs:
        client.stores.put(blob)
    lacking = second.terms.escrow - client.chain.free(client.address)
    if lacking > 0:
        client.deposit(Wei(lacking))
    client.outbox.send(f"behind:{second.job}", "post", second.terms.as_tuple(), wait=True)
    for job in (first, second.job):
        provider.bid(client, job)
    alarm = Alarm()
    keeper = client.keeper(alarm, policy=NOW, only=[first, second.job])
    for _ in range(2):  # accepted in one cycle, or one after the other: once
        step(client, keeper)
        states = [client.job(job).state for job in (first, second.job)]
        assert sorted(states) == [State.OPEN, State.RUNNING]
    (waiting,) = (job for job in (first, second.job) if client.job(job).state is State.OPEN)
    assert ("data_used", waiting) in alarm.active
    with pytest.raises(BadInput) as refused:
        client.accept(client.job(waiting), client.offers(client.job(waiting)))
    assert refused.value.code == "data_used"


def test_a_stranger_who_names_the_same_shards_keeps_no_job_from_its_bids(
    client: Client, provider: Provider, folder: Path, tmp_path: Path
) -> None:
    """The data root of an open job is everybody's to copy into terms of their own; the keys are not."""
    job = post(client, folder)
    theirs = replace(client.job(job).terms, requester=provider.keys.address)
    network = client.network
    identity = job_id(theirs, network.chain_id, network.market)
    with Client(network, provider.keys, home=tmp_path / "stranger") as stranger:
        stranger.deposit(theirs.escrow)
        stranger.outbox.send("post", "post", theirs.as_tuple(), wait=True)
        provider.bid(stranger, identity)
        stranger.accept(stranger.job(identity), stranger.offers(stranger.job(identity)))
    provider.bid(client, job)
    step(client, client.keeper(Alarm(), policy=NOW, only=[job]))
    assert client.job(job).state is State.RUNNING


def test_bids_that_nothing_backs_hide_no_other(town: Devnet, client: Client, provider: Provider, folder: Path) -> None:
    """Threat 89: fresh keys whose deposits were withdrawn, and an honest bidder's name under cheap bids of others."""
    job, head = client.job(post(client, folder)), client.chain.head()
    honest, network = provider.keys, client.network

    def bid(account: LocalAccount, claimed: str, price: int, nonce: int) -> Letter:
        made = Bid(bytes.fromhex(job.id[2:]), claimed, Wei(price), honest.wrap_public, head.timestamp + 3600, nonce)
        return bid_letter(made, sign_digest(account, made.digest(network.chain_id, network.market)))

    strangers = [Account.from_key(keccak256(bytes([number]))) for number in range(150)]
    flood = [bid(account, account.address, 1, nonce) for account in strangers for nonce in range(4)]
    forged = [bid(strangers[0], honest.address, 1, nonce) for nonce in range(100)]
    mine = bid(honest.account, honest.address, 40 * ONE_TOKEN, 7)
    (offer,) = valid_offers(client.chain, [*flood, *forged, mine], job, head)
    assert (offer.bid.provider, offer.bid.price) == (honest.address, 40 * ONE_TOKEN)


def test_a_job_nobody_bids_for_is_refunded_by_the_keeper(town: Devnet, client: Client, folder: Path) -> None:
    before = client.chain.free(client.address)
    job = post(client, folder)
    alarm = Alarm()
    keeper = client.keeper(alarm, policy=NOW, only=[job])
    town.warp(50)
    step(client, keeper)
    assert ("no_bids", job) in alarm.active
    town.warp(20)
    step(client, keeper)
    ended = client.job(job)
    assert (ended.outcome, ended.sums) == (Outcome.EXPIRED, True)
    assert client.chain.free(client.address) >= before


@contextmanager
def watching(town: Devnet, job: JobId, said: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`heldout job watch` as a process, with all it says in a file."""
    command = town.command("job", "watch", job, *options, home="requester")
    with said.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_watch_looks_on_and_does_all_duties_once_the_first_is_gone(
    town: Devnet, made: Path, tmp_path: Path
) -> None:
    """P11: two jobs, two terminals, one of them killed."""
    with Client(town.network, town.keys("requester"), home=town.home("requester")) as client:
        jobs = [post(client, Path(shutil.copytree(made, tmp_path / name))) for name in ("one", "two")]
        first, second, third = (tmp_path / f"said-{n}" for n in range(3))
        with watching(town, jobs[0], first) as one:
            wait_until(lambda: "posted" in first.read_text().lower())
            with watching(town, jobs[1], third, "--accept-by-hand") as by_hand:
                assert by_hand.wait(60) == AlreadyRunning.exit_code and "--accept-by-hand" in third.read_text()
            with watching(town, jobs[1], second) as two:
                wait_until(lambda: "looking on" in second.read_text())
                one.kill()
                one.wait()
                town.warp(client.job(jobs[0]).terms.bidWindow + 1)
                wait_until(lambda: all(client.job(job).final for job in jobs), 60)
                town.mine(5)
                assert two.wait(60) == TimedOut.exit_code, second.read_text()
        ended = [client.job(job) for job in jobs]
    assert [(job.outcome, job.sums) for job in ended] == [(Outcome.EXPIRED, True)] * 2
