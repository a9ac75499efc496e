"""A town to act in: one devnet with real nodes as processes, and parties that a test plays itself.

Real parties (`heldout provider run`, `heldout validator run`, a `Client` that keeps its jobs) do what users do. Played
parties (`Played…`) use the same keys, letters and contract calls, but do only what a test tells them to: that is how a
liar, a thief or a dead machine is made without a line of it in the product.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from heldout.devnet.devnet import PLAIN, Devnet
from heldout.market.chain import Chain
from heldout.market.chain.deposits import deposit
from heldout.market.chain.sender import Outbox
from heldout.market.errors import BadInput
from heldout.market.journal import Journal
from heldout.market.lifecycle import VACANT, JobState, Outcome, State, fold
from heldout.market.mail import Mail
from heldout.market.messages import Bid, beside, bid_letter, commit_hash, pack_vote
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.terms import JobId, JobTerms
from heldout.requester_cli.client import Client

ROOT = Path(__file__).resolve().parents[2]
VALIDATORS = 8
PATIENCE_S = 120.0
_CHEAP = Wei(ONE_TOKEN)

# Short windows for all; and four kinds of training, the first as cheap as can be: the template's own baseline.
_WINDOWS = {
    "bids": '"18 s"',
    "seconds": "60",
    "work": '"80 s"',
    "release": '"10 s"',
    "commit": '"45 s"',
    "reveal": '"30 s"',
    "challenge": '"30 s"',
}
# The plain road, whatever the nodes would take by themselves: challenges run their time, and can be used.
_ROADS = {"validator": PLAIN, "requester": ("--waive", "never")}
GOOD_ENOUGH = {**_WINDOWS, "command": '["python", "/in/task/baseline.py"]', "floor": "0.5", "target": "0.9"}
HARD = {**GOOD_ENOUGH, "floor": "0.9", "target": "0.95"}
RANDOM = {**GOOD_ENOUGH, "command": '["python", "/in/task/train.py", "--epochs", "0"]'}
SLOW = {**GOOD_ENOUGH, "command": '["python", "/in/task/train.py", "--epochs", "12", "--pause", "1"]'}


@dataclass
class Town:
    """One running devnet. Tests share it; every test posts jobs of its own."""

    devnet: Devnet
    scratch: Path
    clients: list[Client] = field(default_factory=list)

    @cached_property
    def chain(self) -> Chain:
        return self.devnet.chain()

    # ------------------------------------------------------------------------------------------------ looking

    def job(self, job: JobId) -> JobState:
        chain = self.chain
        return fold(chain.events(self.devnet.network.deploy_block, chain.head().number, job=job))[job]

    def until(
        self, job: JobId, what: str, holds: Callable[[JobState], bool], patience_s: float = PATIENCE_S
    ) -> JobState:
        """Wait until something holds of a job. Fails with the job's events and the nodes' last words."""
        give_up = time.monotonic() + patience_s
        while time.monotonic() < give_up:
            state = self.job(job)
            if holds(state):
                return state
            time.sleep(0.3)
        raise AssertionError(f"{what} did not come true in {patience_s:.0f} s\n{self.story(job)}")

    def until_state(self, job: JobId, state: State, round_: int = 0, patience_s: float = PATIENCE_S) -> JobState:
        return self.until(
            job,
            f"{state.name} (round {round_})",
            lambda j: (j.state >= state and j.round >= round_) or j.final,
            patience_s,
        )

    def until_open(self, job: JobId) -> JobState:
        return self.until_state(job, State.OPEN)

    def story(self, job: JobId) -> str:
        """What a failed test shows: the job's events, and the end of every node's log."""
        chain = self.chain
        events = chain.events(self.devnet.network.deploy_block, chain.head().number, job=job)
        told = [
            f"{e.timestamp} {e.name} " + " ".join(f"{k}={v}" for k, v in e.args.items() if k != "terms")[:160]
            for e in events
        ]
        logs = [f"-- {name}\n{self.devnet.processes.log_tail(name, 12)}" for name in self.devnet.processes.running()]
        return "\n".join([*told, f"now {chain.head()}", *logs])

    def until_indexed(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the market service stands where the chain stands."""
        give_up, head = time.monotonic() + patience_s, self.chain.head().number
        while httpx2.get(f"{self.devnet.network.service}/v1/network", trust_env=False).json()["block"] < head:
            assert time.monotonic() < give_up, self.devnet.processes.log_tail("service")
            time.sleep(0.2)

    def pass_deadline(self, job: JobId) -> None:
        """Move block time just past the present deadline of a job."""
        chain, state = self.chain, self.job(job)
        self.devnet.warp(max(1, state.deadline - chain.head().timestamp + 1))

    def settle(self, job: JobId, patience_s: float = PATIENCE_S) -> JobState:
        """Wait for Scored, let the challenge pass, and wait until somebody settled."""
        if not self.until_state(job, State.SCORED, patience_s=patience_s).final:
            self.pass_deadline(job)
        return self.until(job, "settlement", lambda j: j.final)

    # ------------------------------------------------------------------------------------------------- acting

    def folder(self, name: str, **values: str) -> Path:
        """A fresh digits job folder with its data made; `values` replace keys of job.toml, such as `floor="0.5"`."""
        folder = self.scratch / name
        template = self.scratch / "template"
        if not template.exists():
            heldout(["init", "digits", str(template)])
            for script in ("make_data.py", "make_graph.py"):
                subprocess.run([sys.executable, script], cwd=template, check=True, capture_output=True)
        shutil.copytree(template, folder)
        self.adjust(folder, **values)
        return folder

    @staticmethod
    def adjust(folder: Path, **values: str) -> None:
        """Replace values of keys in a folder's job.toml."""
        text = (folder / "job.toml").read_text()
        for key, value in values.items():
            lines = [f"{key} = {value}" if line.split("=")[0].strip() == key else line for line in text.splitlines()]
            assert f"{key} = {value}" in lines, f"job.toml has no key {key}"
            text = "\n".join(lines) + "\n"
        (folder / "job.toml").write_text(text)

    def requester(self) -> Client:
        """The requester, with a journal of its own, so that several jobs of one test run can be kept at once."""
        keys = self.devnet.keys("requester")
        client = Client(
            self.devnet.network, keys, home=self.devnet.home("requester"), journal=f"test-{len(self.clients)}"
        )
        self.clients.append(client)
        return client

    def post(self, name: str, **values: str) -> tuple[Client, JobId]:
        """Seal, upload and post a digits job."""
        folder, client = self.folder(name, **values), self.requester()
        client.seal(folder)
        return client, client.post(client.draft(folder))

    def call(self, name: str, **values: str) -> tuple[Client, JobId]:
        """Seal, upload and call for bids on a digits job (P2.5): it is posted by who keeps it."""
        folder, client = self.folder(name, **values), self.requester()
        client.seal(folder)
        return client, client.call(client.draft(folder)).job

    def played_provider(self, number: int) -> "PlayedProvider":
        return PlayedProvider(self, number)

    def fetch(self, client: Client, ended: JobState, lane: int = 0) -> bytes:
        """The weights of a paid lane. The half key that opens them may still be on its way."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return client.fetch(ended, lane)
            except BadInput as problem:
                if problem.code != "not_delivered" or time.monotonic() > give_up:
                    raise
                time.sleep(0.5)

    def cold_of(self, validator: int) -> str:
        """Who is paid for what `validator-N` does."""
        return self.devnet.keys(f"validator-{validator}-cold").address

    def lone(self, seats: tuple[int, ...]) -> dict[int, int]:
        """A validator with exactly one of the drawn seats, and its place. Three seats of one owner happen once in 250
        draws (P10)."""
        owners = [self.validator_of(seat) for seat in seats]
        for place, owner in enumerate(owners):
            if owners.count(owner) == 1:
                return {owner: place}
        pytest.skip("one owner was drawn for all seats")

    def owners(self, seats: tuple[int, ...]) -> set[int]:
        """Which validators hold seats."""
        return {self.validator_of(seat) for seat in seats}

    def validator_of(self, seat: int) -> int:
        """Which `validator-N` holds a seat."""
        hot = self.chain.seat(seat).hot
        return next(n for n in range(VALIDATORS) if self.devnet.keys(f"validator-{n}").address == hot)

    def committee(self, job: JobId, round_: int) -> tuple[int, ...]:
        """The drawn seats of a round, by place, as soon as the seed block is there."""

        def drawn(_: JobState) -> bool:
            view = self.chain.job(job)
            return view.round >= round_ and self.chain.head().number > view.seed_block

        self.until(job, f"the seed of round {round_}", drawn)
        return self.chain.committee(job)[1]

    @contextmanager
    def stopped(self, job: JobId, choose: Callable[[tuple[int, ...]], Collection[int]]) -> Iterator[tuple[int, ...]]:
        """No validator does anything until the first round of a job is drawn; then all go on but those that `choose`
        names by looking at the seats: dead machines, as the others see it. Yields the seats."""
        running = self.devnet.processes.running()
        pids = {n: running[f"validator-{n}"] for n in range(VALIDATORS)}
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)
        try:
            seats = self.committee(job, 1)
            chosen = choose(seats)
            for each in pids.keys() - chosen:
                os.kill(pids.pop(each), signal.SIGCONT)
            yield seats
        finally:
            for pid in pids.values():
                with suppress(ProcessLookupError):  # killed meanwhile
                    os.kill(pid, signal.SIGCONT)

    def until_dead(self, name: str, patience_s: float = PATIENCE_S) -> None:
        give_up = time.monotonic() + patience_s
        while name in self.devnet.processes.running():
            assert time.monotonic() < give_up, f"{name} lives"
            time.sleep(0.1)

    def start(self, name: str, *, before: Sequence[str] = (), **env: str) -> int:
        """Start `requester`, `provider-N`, `validator-N`, `store` or `service` as its user would; or `before` does."""
        if name in ("store", "service"):
            argv = self._server(name)
        else:
            role = name.split("-")[0]
            argv = self.devnet.command(role, "run", *_ROADS.get(role, ()), home=name)
        return self.devnet.processes.start(name, [*before, *argv], env)

    def _server(self, name: str) -> list[str]:
        """The command of a server that comes back at the address in the network file."""
        network, state = self.devnet.network, self.devnet.state
        if name == "store":
            listen = urlsplit(network.stores[0]).netloc
            return self.devnet.command("store", "serve", "--dir", str(state / "store"), "--listen", listen)
        listen = urlsplit(network.service or "").netloc
        return self.devnet.command("market", "serve", "--db", str(state / "service.db"), "--listen", listen)

    def starts(self, name: str) -> int:
        """How often a node came online so far: its log outlives it."""
        return self.devnet.processes.log_tail(name, sys.maxsize).count("online as")

    def reorg(self, depth: int) -> None:
        """Replace the newest blocks by empty ones. A connection takes that for a lagging RPC at first: look anew."""
        self.devnet.anvil.reorg(depth)
        self.__dict__.pop("chain", None)

    def kill(self, name: str) -> None:
        """kill -9, as a power cut does."""
        pid = self.devnet.processes.running()[name]
        os.kill(pid, signal.SIGKILL)
        give_up = time.monotonic() + 10
        while name in self.devnet.processes.running() and time.monotonic() < give_up:
            time.sleep(0.05)

    # ------------------------------------------------------------------------------------------------ indices

    def start_index(self, name: str) -> None:
        """A market service of its own, with a database of its own."""
        db = str(self.devnet.state / f"{name}.db")
        self.devnet.processes.start(name, self.devnet.command("market", "serve", "--db", db, "--listen", "127.0.0.1:0"))

    def index_hash(self, name: str) -> str:
        """What an index has, once it has caught up with a chain that rests."""
        known = ""
        for _ in range(40):
            time.sleep(0.5)
            db = str(self.devnet.state / f"{name}.db")
            before, known = known, heldout(["market", "hash", "--db", db]).stdout.strip()
            if known and known == before:
                break
        return known

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def outbox(self, name: str) -> tuple[Outbox, Journal]:
        """Transactions from a party's key, with a journal apart from its node's."""
        keys = self.devnet.keys(name)
        journal = Journal(self.scratch / f"journal-{name}-{time.monotonic_ns()}")
        return Outbox(self.chain, keys.account, journal), journal

    def vote_together(self, job: JobId, votes: dict[int, list[int]]) -> None:
        """Several seats vote as the test likes, at the same time."""
        with ThreadPoolExecutor(len(votes)) as pool:
            list(pool.map(lambda item: self.vote(job, *item), votes.items()))

    def vote(self, job: JobId, place: int, lanes: list[int], *, reveal: bool = True) -> None:
        """Commit to a vote of the test's own choice with a seat's real key, and reveal it when it is time."""
        self.until_state(job, State.COMMITTING, 1)
        view = self.chain.job(job)
        seat = self.chain.committee(job)[1][place]
        assert seat != VACANT
        name = f"validator-{self.validator_of(seat)}"
        vote, salt = pack_vote(lanes), os.urandom(32)
        network = self.devnet.network
        hash_ = commit_hash(
            network.chain_id, network.market, bytes.fromhex(job[2:]), view.round, seat, vote, bytes(32), salt
        )
        outbox, journal = self.outbox(name)
        try:
            outbox.send(f"test-commit:{job}:{view.round}:{place}", "commit", job, place, hash_, wait=True)
            if reveal:
                self.until_state(job, State.REVEALING, view.round)
                others = beside(self.chain.commits(job, view, self.chain.head()), place)
                opened = (vote, bytes(32), salt, *others)
                outbox.send(f"test-reveal:{job}:{view.round}:{place}", "reveal", job, place, *opened, wait=True)
        finally:
            journal.close()


class Kept:
    """`heldout requester run` looks after the requester's jobs until the block ends; then the requester is gone."""

    def __init__(self, town: Town, waive: str = "never") -> None:
        self._town, self._waive = town, waive

    def __enter__(self) -> "Kept":
        argv = self._town.devnet.command("requester", "run", "--waive", self._waive, home="requester")
        self._town.devnet.processes.start("requester", argv)
        return self

    def __exit__(self, *exception: object) -> None:
        self._town.devnet.processes.stop("requester")


class PlayedProvider:
    """A provider's keys in a test's hands."""

    def __init__(self, town: Town, number: int) -> None:
        self.town, self.name = town, f"provider-{number}"
        self.keys = town.devnet.keys(self.name)
        self.outbox, self._journal = town.outbox(self.name)
        self.mail = Mail(town.devnet.network, town.chain, self.keys.account, self.outbox)

    def close(self) -> None:
        self._journal.close()

    def bid(self, job: JobId, price: Wei = _CHEAP) -> Bid:
        """Deposit the collateral and offer, cheaply enough to win."""
        chain, terms = self.town.chain, self.town.job(job).terms
        lacking = terms.collateral - chain.free(self.keys.address)
        if lacking > 0:
            deposit(chain, self.outbox, self.keys.account, Wei(lacking))
        until = chain.head().timestamp + 100_000
        bid = Bid(bytes.fromhex(job[2:]), self.keys.address, price, self.keys.wrap_public, until, time.monotonic_ns())
        network = self.town.devnet.network
        signature = self.keys.account.unsafe_sign_hash(bid.digest(network.chain_id, network.market)).signature
        self.mail.send(bid_letter(bid, bytes(signature)), fallback=True)
        return bid

    def call(self, function: str, *args: object) -> None:
        self.outbox.send(f"test:{function}:{time.monotonic_ns()}", function, *args, wait=True)


def heldout(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a `heldout` command as a user does; fails with its words."""
    done = subprocess.run([sys.executable, "-m", "heldout", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"heldout {' '.join(words)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def eventually(holds: Callable[[], bool], what: str, patience_s: float = 60.0) -> None:
    """Wait until something that a node does in its own time has come true."""
    give_up = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < give_up, f"not in {patience_s:.0f} s: {what}"
        time.sleep(0.3)


def check_ended(town: Town, job: JobState, outcome: Outcome) -> None:
    """P11 (a) and (c): one final state, and the money sums to the unit, on chain and in events."""
    assert job.final
    assert job.outcome is outcome, town.story(job.id)
    assert job.money_in == job.money_out
    assert town.chain.held_for(job.terms) == 0
    check_ledger(town)


def check_ledger(town: Town) -> None:
    """P1.4 over the whole market, from balances: nothing was made, nothing lost."""
    chain, network = town.chain, town.devnet.network
    head = chain.head()
    accounts = {str(e.args["account"]) for e in chain.events(network.deploy_block, head.number, names=["Deposited"])}
    accounts |= {str(e.args["to"]) for e in chain.events(network.deploy_block, head.number, names=["Paid"])}
    accounts |= {str(e.args["cold"]) for e in chain.events(network.deploy_block, head.number, names=["Staked"])}
    free = sum(chain.free(account, at=head) for account in accounts)
    held = chain.token_balance(network.market, at=head)
    posted = chain.events(network.deploy_block, head.number, names=["Posted"])
    in_jobs = sum(chain.held_for(JobTerms.from_values(event.args["terms"]), at=head) for event in posted)
    staked = sum(seat.stake for seat in chain.seats(range(chain.seat_count(at=head)), at=head))
    assert held == free + in_jobs + staked + chain.call("burned", at=head)
