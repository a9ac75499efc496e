"""The devnet: one folder, its own processes and no others, and a chain that goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from heldout.devnet import Devnet, accounts, parameters
from heldout.devnet.cli import main as cli
from heldout.devnet.processes import Processes
from heldout.market.errors import AlreadyRunning, BadInput, HeldoutError
from heldout.market.keys import KeyRing
from heldout.market.money import ONE_TOKEN

pytestmark = pytest.mark.integration


def test_the_market_stands_as_the_parameters_say(devnet: Devnet) -> None:
    """P1.5: everything fixed at construction."""
    found = devnet.chain().parameters()
    assert (found.seat_stake, found.minimum_fee) == (parameters.SEAT_STAKE, parameters.MINIMUM_FEE)
    assert found.limits == parameters.LIMITS
    assert found.token == devnet.network.token


def test_every_test_account_has_tokens_and_gas_money(devnet: Devnet) -> None:
    chain = devnet.chain()
    for name in accounts.names(2, 2):
        who = devnet.keys(name).address
        assert chain.token_balance(who) == parameters.GRANT
        assert chain.eth(who) > ONE_TOKEN


def test_a_key_ring_made_by_hand_can_be_funded_and_keeps_what_gas_money_it_has(devnet: Devnet, tmp_path: Path) -> None:
    """A provider or validator of one's own begins with nothing."""
    chain, who = devnet.chain(), KeyRing.create(tmp_path / "mine", "a password", light=True).address
    requester = devnet.keys("requester").address
    rich = chain.eth(requester)
    assert (chain.token_balance(who), chain.eth(who)) == (0, 0)
    assert cli(["fund", "--state", str(devnet.state), "--home", str(tmp_path / "mine")]) == 0
    assert cli(["fund", "--state", str(devnet.state), requester]) == 0
    assert (chain.token_balance(who), chain.eth(who)) == (parameters.GRANT, parameters.GAS_MONEY)
    assert (chain.token_balance(requester), chain.eth(requester)) == (2 * parameters.GRANT, rich)


def test_hot_and_cold_keys_differ_and_rings_open_with_the_password_file(devnet: Devnet) -> None:
    rings = [devnet.keys(name) for name in accounts.names(1, 2)]
    assert len({ring.address for ring in rings}) == len(rings)
    password = devnet.password_file.read_text().strip()
    assert KeyRing.open(devnet.home("validator-0"), password).address == devnet.keys("validator-0").address
    assert devnet.password_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["provider-99", "validator-x", "nobody", "provider-0-cold"])
def test_an_account_that_does_not_exist_is_said(name: str) -> None:
    with pytest.raises(BadInput):
        accounts.index_of(name)


def test_seats_are_staked_three_at_a_time(devnet: Devnet) -> None:
    assert devnet.stake(0) == range(3)
    assert devnet.stake(1) == range(3, 6)
    chain = devnet.chain()
    assert (chain.seat_count(), chain.live_seats()) == (6, 6)
    assert [seat.cold for seat in chain.seats([0, 3])] == [devnet.keys(f"validator-{i}-cold").address for i in (0, 1)]


def test_a_second_devnet_in_the_same_folder_is_refused(devnet: Devnet) -> None:
    with pytest.raises(AlreadyRunning):
        Devnet.up(devnet.state, store=False, service=False)
    assert devnet.chain().head().number > 0


def test_a_chain_goes_on_after_down_with_its_genesis_and_never_back_in_time(devnet: Devnet) -> None:
    devnet.stake(0)
    devnet.warp(100_000)
    network, before = devnet.network, devnet.chain().head()
    devnet.down()
    with Devnet.up(devnet.state, store=False, service=False) as again:
        again.mine()
        head = again.chain().head()  # `connect` checks genesis, code and token
        assert again.network.genesis == network.genesis
        assert (head.number > before.number, head.timestamp > before.timestamp) == (True, True)
        assert again.chain().seat_count() == 3
        assert again.chain().head().timestamp < before.timestamp + 600


def test_a_folder_whose_chain_is_lost_is_refused_rather_than_mixed_with_a_new_one(devnet: Devnet) -> None:
    """Journals and the service's index in it speak of a chain that is gone."""
    devnet.down()
    (devnet.state / "chain.json").unlink()
    with pytest.raises(HeldoutError) as lost:
        Devnet.up(devnet.state, store=False, service=False)
    assert lost.value.code == "chain_lost"
    assert devnet.processes.running() == {}


def test_block_time_can_be_warped_and_mined_at_a_pace(tmp_path: Path) -> None:
    with Devnet.up(tmp_path, block_time=1, store=False, service=False) as devnet:
        chain = devnet.chain()
        before = chain.head()
        devnet.warp(5_000)
        assert chain.head().timestamp >= before.timestamp + 5_000
        give_up = time.monotonic() + 10
        while chain.head().number < before.number + 3 and time.monotonic() < give_up:
            time.sleep(0.1)
        assert chain.head().number >= before.number + 3


def test_down_ends_its_own_processes_and_no_other(tmp_path: Path) -> None:
    """A pid that was reused since is not ours."""
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        processes = Processes(tmp_path)
        ours = processes.start("ours", ["sleep", "60"])
        records = json.loads((tmp_path / "pids.json").read_text())
        records["gone"] = {"pid": stranger.pid, "birth": "another time"}
        (tmp_path / "pids.json").write_text(json.dumps(records))
        seen_by_another = Processes(tmp_path)
        assert seen_by_another.running() == {"ours": ours}
        seen_by_another.stop()
        assert seen_by_another.running() == {} == processes.running()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_in_the_foreground_it_ends_what_it_started_when_it_is_told_to_end(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "heldout", "devnet", "up", "--state", str(tmp_path), "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as foreground:
        assert foreground.stdout is not None
        told = json.loads(foreground.stdout.readline())
        assert set(Processes(tmp_path).running()) == {"anvil", "store", "service"}
        assert told["network"] == str(tmp_path / "network.json")
        foreground.send_signal(signal.SIGTERM)
        assert foreground.wait(timeout=30) == 0
    assert Processes(tmp_path).running() == {}


def test_down_where_nothing_runs_says_so(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "heldout", "devnet", "down", "--state", str(tmp_path / "nowhere")]
    told = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "nothing" in told.stdout


def test_without_anvil_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANVIL", "/nowhere/anvil")
    with pytest.raises(HeldoutError, match="nowhere") as missing:
        Devnet.up(tmp_path)
    assert missing.value.code == "no_anvil"


def test_store_and_service_answer_and_the_command_line_finds_them(tmp_path: Path) -> None:
    with Devnet.up(tmp_path) as devnet:
        with httpx2.Client(trust_env=False) as client:
            for url in (devnet.network.stores[0], devnet.network.service):
                assert client.get(f"{url}/healthz").status_code == 200
        devnet.keys("requester")
        argv = [*devnet.command("devnet", "accounts", "--json"), "--state", str(tmp_path)]
        told = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
        assert [row["name"] for row in told] == ["requester"]
        assert told[0]["tokens"]["wei"] == str(parameters.GRANT)
        logs = {path.name for path in (tmp_path / "logs").iterdir()}
        assert logs == {"anvil.log", "store.log", "service.log"}
    assert Processes(tmp_path).running() == {}
