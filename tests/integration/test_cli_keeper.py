"""The requester's duties on a real chain with no market service: every letter travels by `announce` (P2.5, P8, P11)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from heldout.devnet import Devnet
from heldout.market.alarm import Alarm
from heldout.market.calling import is_called
from heldout.market.chain.deposits import deposit
from heldout.market.chain.sender import Outbox
from heldout.market.chain.signatures import sign_digest
from heldout.market.daemon import Isolation
from heldout.market.errors import AlreadyRunning, BadInput, Reverted, TimedOut
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.lifecycle import REQUESTER, JobState, Outcome, State
from heldout.market.messages import Bid, Kind, Letter, bid_letter, decode_answer
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.sealing import envelope_context, open_envelope, shard_key
from heldout.market.split import SEED_DELAY, draw_split
from heldout.market.terms import JobId, job_id, keccak256
from heldout.requester_cli.bids import valid_offers
from heldout.requester_cli.client import Client
from heldout.requester_cli.duties import Policy
from heldout.requester_cli.keeper import Keeper
from tests.rpc_proxy import Refuse, RpcProxy
from tests.servers import wait_until

pytestmark = pytest.mark.integration
NOW = Policy(accept_after=0)


@dataclass
class Provider:
    """Bids and opens what it is sent, by hand."""

    devnet: Devnet
    keys: KeyRing
    outbox: Outbox

    def bid(self, client: Client, job: JobId, price: int = 50) -> None:
        head = client.chain.head()
        bid = Bid(
            bytes.fromhex(job[2:]),
            self.keys.address,
            Wei(price * ONE_TOKEN),
            self.keys.wrap_public,
            head.timestamp + 3600,
            head.number,
        )
        network = client.network
        signature = sign_digest(self.keys.account, bid.digest(network.chain_id, network.market))
        letter = bid_letter(bid, signature)
        self.outbox.send(f"announce:{job}:{price}", "announce", letter.encode(), wait=True)

    def opened(self, letter: Letter) -> bytes:
        context = envelope_context(bytes.fromhex(letter.job[2:]), letter.kind, letter.sender, letter.receiver)
        return open_envelope(self.keys.wrap_private, letter.bytes_of("envelope"), context)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Chain, store and 24 seats of stake. No service, no nodes."""
    with Devnet.up(tmp_path_factory.mktemp("keeper") / "devnet", service=False) as running:
        for number in range(8):
            running.stake(number)
        yield running


@pytest.fixture(scope="module")
def provider(town: Devnet) -> Iterator[Provider]:
    keys, chain = town.keys("provider-0"), town.chain()
    with Journal(town.home("provider-0") / "journal") as journal:
        outbox = Outbox(chain, keys.account, journal)
        deposit(chain, outbox, keys.account, Wei(1000 * ONE_TOKEN))
        yield Provider(town, keys, outbox)
    chain.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "digits"
    subprocess.run([sys.executable, "-m", "heldout", "init", "digits", str(folder)], check=True, capture_output=True)
    for script in ("make_data.py", "make_graph.py"):
        subprocess.run([sys.executable, str(folder / script)], check=True, capture_output=True)
    path = folder / "job.toml"
    path.write_text(path.read_text().replace('graph = "', f'image = "sha256:{"00" * 32}"\ngraph = "'))
    return folder


@pytest.fixture
def client(town: Devnet) -> Iterator[Client]:
    with Client(town.network, town.keys("requester"), home=town.home("requester"), journal="keeper") as opened:
        yield opened
        for called, _ in opened._calls:
            opened._calls.forget(called.job)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "digits"))


def post(client: Client, folder: Path) -> JobId:
    client.seal(folder, again=True)
    return client.post(client.draft(folder))


def step(client: Client, keeper: Keeper) -> None:
    """One cycle, and what it sent is mined."""
    keeper.step(client.chain.head())
    for pending in client.outbox.pending:
        client.outbox.wait(pending.intent)


def accepted(town: Devnet, client: Client, keeper: Keeper, provider: Provider, job: JobId) -> JobState:
    """Running, with the split's block deep enough for keys to leave."""
    provider.bid(client, job)
    step(client, keeper)
    assert client.job(job).state is State.RUNNING
    step(client, keeper)
    assert announced(client, job, Kind.TRAINING_KEYS) == [], "no key leaves before the split's block is deep"
    town.mine(5)
    return client.job(job)


def announced(client: Client, job: JobId, kind: Kind) -> list[Letter]:
    events = client.chain.events(client.network.deploy_block, client.chain.head().number, names=["Announced"])
    letters = [Letter.decode(event.args["message"]) for event in events]
    return [letter for letter in letters if letter.job == job and letter.kind is kind]


def training_keys(client: Client, job: JobState) -> bytes:
    assert job.accept_block is not None
    seed = bytes.fromhex(client.chain.block(job.accept_block + 2).hash[2:])
    split = draw_split(seed, bytes.fromhex(job.id[2:]), job.terms.shards, job.terms.heldOut)
    return b"".join(shard_key(client.keys.data_secret, job.terms.salt, shard) for shard in split.training)


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


# -------------------------------------------------------------------------------------------- calls for bids


def call(client: Client, folder: Path) -> JobId:
    """Told on chain, since no service answers."""
    client.seal(folder, again=True)
    job = client.call(client.draft(folder)).job
    for pending in client.outbox.pending:
        client.outbox.wait(pending.intent)
    return job


def names_by_tx(client: Client, job: JobId) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in client.events(client.job(job)):
        found.setdefault(event.tx, []).append(event.name)
    return found


def test_nothing_is_locked_until_one_transaction_posts_the_job_and_accepts_its_bids(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    locked = client.chain.free(client.address)
    job = call(client, folder)
    assert len(announced(client, job, Kind.CALL)) == 1, "with no service the chain carries it"
    assert client.chain.job(job).state is State.NONE
    free = client.chain.free(client.address)
    assert free >= locked and free >= client.job(job).terms.escrow, "deposited, and still free"
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    step(client, keeper)
    assert is_called(client.job(job)) and not keeper.is_done(job)
    provider.bid(client, job, price=60)
    provider.bid(client, job)
    step(client, keeper)
    state = client.job(job)
    assert (state.state, [lane.price for lane in state.lanes]) == (State.RUNNING, [50 * ONE_TOKEN])
    (together,) = [names for names in names_by_tx(client, job).values() if "Posted" in names]
    assert "Accepted" in together
    assert client.chain.free(client.address) == free - state.terms.escrow + 50 * ONE_TOKEN, "what the cap was above"
    town.mine(client.network.confirmations)
    step(client, keeper)
    assert [*client._calls] == [], "what is on chain is called for no more"
    assert len(announced(client, job, Kind.CALL)) == 1, "announcing costs gas: once is enough"


def test_a_call_that_was_kept_and_not_told_is_told_by_the_next_cycle(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that called was killed in between (P11)."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(client.mail, "send", killed)
        call(client, folder)
    ((standing, _),) = client._calls
    assert announced(client, standing.job, Kind.CALL) == []
    step(client, client.keeper(Alarm(), policy=NOW, only=[standing.job]))
    assert len(announced(client, standing.job, Kind.CALL)) == 1


def test_a_call_that_nobody_bids_for_passes_and_the_money_was_never_locked(
    town: Devnet, client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heldout.requester_cli.client._LAG_S", 0.5)
    job, alarm = call(client, folder), Alarm()
    free = client.chain.free(client.address)
    keeper = client.keeper(alarm, policy=NOW, only=[job])
    step(client, keeper)
    called = client.job(job)
    town.warp(called.deadline - client.chain.head().timestamp - 5)
    step(client, keeper)
    assert ("no_bids", job) in alarm.active
    town.warp(6)
    step(client, keeper)
    step(client, keeper)
    assert keeper.is_done(job) and client.is_past(called) and client.called() == []
    assert client.chain.free(client.address) == free
    assert ("no_bids", job) not in alarm.active, "nobody rings for what is over"
    with pytest.raises(TimedOut, match="nothing was locked"):
        client.keep(job, policy=NOW, period_s=0.1)


def test_a_call_that_passed_can_be_made_again_for_the_same_job(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    job = call(client, folder)
    first = client.job(job).deadline
    assert client.call(client.draft(folder)).until == first, "a call that stands is sent again as it is"
    town.warp(first - client.chain.head().timestamp + 1)
    assert client.called() == []
    again = client.call(client.draft(folder))
    assert (again.job, again.until > first) == (job, True)
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    provider.bid(client, job)
    step(client, keeper)
    assert client.job(job).state is State.RUNNING


def test_a_call_taken_back_is_opened_by_nobody(town: Devnet, client: Client, provider: Provider, folder: Path) -> None:
    job = call(client, folder)
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    step(client, keeper)
    provider.bid(client, job)
    command = town.command("job", "cancel", job, "-y", "--json", home="requester")
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(said.stdout.splitlines()[-1]) == {"forgotten": job}
    step(client, keeper)
    assert client.chain.job(job).state is State.NONE
    assert keeper.is_done(job)


def test_a_call_taken_back_while_its_bids_are_being_taken_is_looked_after_to_the_end(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    """The transaction may be mined whatever is decided now, and then keys are due."""
    job = call(client, folder)
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    provider.bid(client, job)
    town.anvil.call("evm_setAutomine", False)
    keeper.step(client.chain.head())
    assert "open" in {pending.intent.split(":")[0] for pending in client.outbox.pending}
    client.forget(client.job(job))
    keeper.step(client.chain.head())
    assert not keeper.is_done(job)
    town.anvil.call("evm_setAutomine", True)
    town.mine(1)
    step(client, keeper)
    assert client.job(job).state is State.RUNNING and job in keeper.active


def test_bids_for_a_call_can_be_taken_by_hand(client: Client, provider: Provider, folder: Path) -> None:
    job = call(client, folder)
    provider.bid(client, job)
    called = client.job(job)
    client.accept(called, client.offers(called)[:1])
    assert client.job(job).state is State.RUNNING
    with pytest.raises(BadInput, match="posted already"):
        client.call(client.draft(folder))


def test_an_open_that_a_reorg_took_back_is_made_again(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    """Threats 26 and 27: the call stands until the job on chain is deep."""
    job = call(client, folder)
    keeper = client.keeper(Alarm(), policy=NOW, only=[job])
    provider.bid(client, job)
    step(client, keeper)
    assert client.job(job).state is State.RUNNING
    town.anvil.take_back(client.job(job).posted.block)
    town.mine(1)
    assert client.chain.job(job).state is State.NONE
    for _ in range(3):
        step(client, keeper)
    assert client.job(job).state is State.RUNNING
    town.mine(client.network.confirmations + 1)
    step(client, keeper)
    assert [*client._calls] == []


def test_a_call_whose_money_is_gone_is_not_opened_and_costs_no_gas(
    town: Devnet, client: Client, provider: Provider, folder: Path
) -> None:
    """The deposit stays withdrawable: what bidders rely on is that a job without money is no job."""
    job = call(client, folder)
    provider.bid(client, job)
    free, eth = client.chain.free(client.address), client.chain.eth(client.address)
    client.withdraw(free)
    spent = eth - client.chain.eth(client.address)
    alarm = Alarm()
    keeper = client.keeper(alarm, policy=NOW, only=[job])
    step(client, keeper)
    assert client.chain.job(job).state is State.NONE
    assert eth - client.chain.eth(client.address) == spent, "refused before it is sent"
    assert ("unfunded_call", job) in alarm.active
    with pytest.raises(Reverted):
        client.chain.try_post(client.job(job).terms)
