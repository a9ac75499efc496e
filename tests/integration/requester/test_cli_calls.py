"""Calls for bids on a real chain with no market service: nothing is locked before bids are taken (P2.5, P8, P11)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from heldout.devnet import Devnet
from heldout.market.alarm import Alarm
from heldout.market.calling import is_called
from heldout.market.errors import BadInput, Reverted, TimedOut
from heldout.market.lifecycle import State
from heldout.market.messages import Kind
from heldout.market.money import ONE_TOKEN
from heldout.market.terms import JobId
from heldout.requester_cli.client import Client
from tests.requester_steps import NOW, Provider, announced, step

pytestmark = pytest.mark.integration


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
