"""A whole market on this machine: chain, contracts, keys, store, market service, nodes; all of it in one folder.

STATE/network.json   what every command reads        STATE/pids.json   the processes, and no others, that `down` ends
      keys/NAME/     a key ring per party            STATE/logs/       one log per process
      password       of all of them                  STATE/store/      artifacts
      chain.json     anvil's state over restarts     STATE/service.db  the service's index
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx2

from heldout.devnet import accounts, parameters
from heldout.devnet.anvil import Anvil, free_port
from heldout.devnet.deploy import deploy_market, grant_tokens, stake_validator
from heldout.devnet.processes import Processes
from heldout.market.chain import Chain, Outbox, connect
from heldout.market.chain.deposits import deposit
from heldout.market.errors import AlreadyRunning, HeldoutError, SandboxProblem
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.money import Wei
from heldout.market.sandbox import Runner, open_runner
from heldout.market.settings import Network
from heldout.market.terms import Address

READY_S = 30.0
PLAIN = ("--relay-grace", "0")
"""Flags of `validator run` for the plain road only."""


class Devnet:
    """A running devnet. `up` starts one or goes on with the one in `state`; as a context it is sure of `down`."""

    def __init__(self, state: Path, anvil: Anvil, processes: Processes) -> None:
        self.state = state
        self.anvil = anvil
        self.processes = processes
        self._chains: list[Chain] = []

    @staticmethod
    def up(
        state: Path,
        *,
        block_time: float | None = None,
        providers: int = 0,
        validators: int = 0,
        store: bool = True,
        service: bool = True,
        runner: str = "docker",
        relayed: bool = True,
    ) -> "Devnet":
        """A devnet with that many nodes. `block_time` None: a block per transaction. Providers run jobs in `runner`.
        Not `relayed`: validators know the plain road only (P6.1).

        Raises AlreadyRunning, HeldoutError (`no_anvil`, `not_ready`). Whatever it had started is ended then.
        """
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        processes = Processes(state)
        if processes.running():
            raise AlreadyRunning(f"a devnet runs in {state}", hint="stop it with `heldout devnet down`")
        try:
            devnet = _start_chain(state, processes)
            if store:
                devnet._start_store()
            if service:
                devnet._start_service()
            devnet._make_rings(providers, validators)
            devnet._enrol_validators(validators)
            devnet._enrol_providers(providers, runner)
            if block_time:
                devnet.anvil.mine_every(block_time)
            devnet._start_nodes(providers, validators, () if relayed else PLAIN)
        except BaseException:
            processes.stop()
            raise
        return devnet

    @staticmethod
    def attach(state: Path) -> "Devnet":
        """The devnet that runs in `state`. Raises HeldoutError `no_devnet`."""
        processes = Processes(state)
        if "anvil" not in processes.running():
            hint = "start one with `heldout devnet up`, or name its folder with --state"
            raise HeldoutError(f"no devnet runs in {state}", hint=hint, code="no_devnet")
        return Devnet(state, Anvil(_read_network(state).rpc[0]), processes)

    def down(self) -> None:
        """End every process it started; the folder stays, and `up` goes on from there."""
        for chain in self._chains:
            chain.close()
        self.anvil.rpc.close()
        self.processes.stop()

    def clear_sandboxes(self) -> None:
        """Remove what providers ended in mid-training left for their next start: containers, mounts."""
        for config in self.state.glob("keys/provider-*/provider.toml"):
            kind, sandbox = tomllib.loads(config.read_text())["run"]["runner"], config.parent / "sandbox"
            if sandbox.exists():
                with suppress(SandboxProblem):
                    runner = open_runner(kind, sandbox, chain_id=self.network.chain_id)
                    asyncio.run(_reconcile(runner))

    def __enter__(self) -> "Devnet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        self.clear_sandboxes()

    # ----------------------------------------------------------------------------------------------- using it

    @property
    def network_file(self) -> Path:
        return self.state / "network.json"

    @property
    def network(self) -> Network:
        return _read_network(self.state)

    @property
    def password_file(self) -> Path:
        return self.state / "password"

    def home(self, name: str) -> Path:
        """Key ring, configuration and journal of a party: `requester`, `provider-0`, `validator-0`…"""
        return self.state / "keys" / name

    def keys(self, name: str) -> KeyRing:
        """The party's key ring, made on first use."""
        return accounts.open_ring(self.state / "keys", name)

    def chain(self) -> Chain:
        """A connection of its own, closed with the devnet."""
        self._chains.append(connect(self.network))
        return self._chains[-1]

    def warp(self, seconds: int) -> None:
        """Move block time on by `seconds` and mine a block there."""
        self.anvil.warp(seconds)

    def mine(self, blocks: int = 1) -> None:
        self.anvil.mine(blocks)

    def deposit(self, name: str, amount: Wei) -> None:
        """Tokens of a party into its free balance on the market."""
        chain, account = self.chain(), self.keys(name).account
        with Journal(self.home(name) / "grant") as journal:
            deposit(chain, Outbox(chain, account, journal), account, amount)

    def fund(self, who: Address) -> None:
        """Tokens and gas money for any address, as every test account has them."""
        self.anvil.set_eth(who, max(self.chain().eth(who), parameters.GAS_MONEY))
        grant_tokens(self.anvil, self.network.token, who)

    def stake(self, validator: int, seats: int = parameters.SEATS_PER_VALIDATOR) -> range:
        """Stake seats for `validator-N` from its cold key; returns their indices."""
        cold, hot = self.keys(f"validator-{validator}-cold"), self.keys(f"validator-{validator}")
        with Journal(self.home(f"validator-{validator}-cold") / "journal") as journal:
            return stake_validator(self.chain(), journal, cold, hot, seats)

    def command(self, *words: str, home: str = "") -> list[str]:
        """The argument vector of a `heldout` command on this devnet, as one of its parties."""
        argv = [sys.executable, "-m", "heldout", *words, "--network", str(self.network_file)]
        if home:
            argv += ["--home", str(self.home(home)), "--password-file", str(self.password_file)]
        return argv

    # ------------------------------------------------------------------------------------------------ starting

    def _start_store(self) -> None:
        url = self.network.stores[0]
        listen = urlsplit(url).netloc
        argv = self.command("store", "serve", "--dir", str(self.state / "store"), "--listen", listen)
        if self.network.service:  # whose pages upload sealed data from the browser
            argv += ["--allow-origin", self.network.service]
        self.processes.start("store", argv)
        self._await_ready("store", url)

    def _start_service(self) -> None:
        url = self.network.service or ""
        listen = urlsplit(url).netloc
        argv = self.command("market", "serve", "--db", str(self.state / "service.db"), "--listen", listen)
        self.processes.start("service", argv)
        self._await_ready("service", url)

    def _await_ready(self, name: str, url: str) -> None:
        give_up = time.monotonic() + READY_S
        with httpx2.Client(trust_env=False, timeout=2) as client:
            while True:
                try:
                    if client.get(f"{url}/readyz").status_code == 200:
                        return
                except httpx2.HTTPError:
                    pass
                if name not in self.processes.running() or time.monotonic() > give_up:
                    log = self.processes.log_tail(name)
                    raise HeldoutError(
                        f"the {name} did not start:\n{log}", hint=f"see logs/{name}.log", code="not_ready"
                    )
                time.sleep(0.05)

    def _make_rings(self, providers: int, validators: int) -> None:
        for name in accounts.names(providers, validators):
            self.keys(name)

    def _enrol_validators(self, count: int) -> None:
        """Seats for whoever has none yet."""
        chain = self.chain()
        staked = {seat.cold for seat in chain.seats(range(chain.seat_count()))}
        for number in range(count):
            if self.keys(f"validator-{number}-cold").address not in staked:
                self.stake(number)

    def _enrol_providers(self, count: int, runner: str) -> None:
        """A configuration and a deposit for whoever has none yet."""
        for number in range(count):
            name = f"provider-{number}"
            if self.chain().free(self.keys(name).address) == 0:
                self.deposit(name, parameters.PROVIDER_DEPOSIT)
            if not (self.home(name) / "provider.toml").exists():
                prices = ("--price", str(parameters.HOURLY_PRICE), "--minimum", str(parameters.LEAST_PRICES[number]))
                content = ("--waive-at", "1", "--agree-at", "100")  # whatever a committee pays is good enough here
                argv = self.command("provider", "init", *prices, *content, "--runner", runner, home=name)
                done = subprocess.run(argv, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise HeldoutError(f"{name} cannot be configured: {done.stderr}", code="not_ready")

    def _start_nodes(self, providers: int, validators: int, road: tuple[str, ...]) -> None:
        for number in range(providers):
            name = f"provider-{number}"
            self.processes.start(name, self.command("provider", "run", home=name))
        for number in range(validators):
            name = f"validator-{number}"
            self.processes.start(name, self.command("validator", "run", *road, home=name))


def _start_chain(state: Path, processes: Processes) -> Devnet:
    """Anvil with the market deployed, mining on demand: a new chain, or the one in `state` gone on with."""
    before: Network | None = _read_network(state) if (state / "network.json").exists() else None
    if before and not (state / "chain.json").exists():
        hint = "anvil was killed before it first saved its chain: remove the folder, or name another with --state"
        raise HeldoutError(f"{state} has keys and a network file, but no chain", hint=hint, code="chain_lost")
    anvil = Anvil.start(state, processes, port=_port(before.rpc[0]) if before else 0)
    anvil.mine_on_demand()
    urls: dict[str, Any] = {
        "stores": (f"http://127.0.0.1:{free_port(_port(before.stores[0]) if before else 0)}",),
        "service": f"http://127.0.0.1:{free_port(_port(before.service or '') if before else 0)}",
    }
    network = Network(**{**vars(before), "rpc": (anvil.url,), **urls}) if before else deploy_market(anvil, **urls)
    network = replace(network, images=_job_images())
    (state / "network.json").write_text(network.to_json())
    _write_password(state / "password")
    return Devnet(state, anvil, processes)


async def _reconcile(runner: Runner) -> None:
    await runner.reconcile([])


def _job_images() -> dict[str, str]:
    """What `./run` built on this machine, by platform; none without Docker."""
    listed = Path(__file__).resolve().parents[1] / ".cache" / "job-image.json"
    built: dict[str, str] = json.loads(listed.read_text()) if listed.exists() else {}
    return {f"linux/{architecture}": image for architecture, image in built.items()}


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def _read_network(state: Path) -> Network:
    return Network.from_json((state / "network.json").read_text())


def _write_password(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(accounts.PASSWORD + "\n")
