"""Faults in a town, at random but from a seed: power cuts, machines that hang, reorgs, an RPC that stalls, lost time.

The seed fixes what is struck and in which order; when it strikes is a matter of this machine's load. `strike` begins
one fault and returns its name, `heal` ends those whose time has come. A process is down because of us or not at all:
`who_died` tells the others.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from heldout.market.lifecycle import ChainEvent
from heldout.market.terms import JobId
from tests.e2e.town import Town

DEEPEST_REORG = 4
"""Blocks: twice the devnet's confirmations, so some reorgs take back what a node believed final."""
_LONGEST_S = 8.0


@dataclass
class _Wound:
    until: float
    heal: Callable[[], object]


@dataclass
class Chaos:
    """Everything that can go wrong in `town`, except for its chain itself being lost."""

    town: Town
    seed: int
    victims: tuple[str, ...]
    commits: dict[tuple[JobId, int, int], set[bytes]] = field(default_factory=dict)
    """Hashes committed per job, round and seat on any branch, those that a reorg took back included (P11b)."""
    _wounds: dict[str, _Wound] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def strike(self, live: list[JobId]) -> str:
        """One fault. `live` are the jobs whose deadline may be let pass."""
        faults: list[tuple[int, Callable[[], str]]] = [
            (6, self._kill),
            (4, self._hang),
            (4, self._reorg),
            (1, self._stall_chain),
            (1, self._empty_service),
            (1 if live else 0, lambda: self._pass_deadline(live)),
        ]
        _, strike = self._random.choices(faults, [weight for weight, _ in faults])[0]
        return strike()

    def heal(self, *, all_now: bool = False) -> None:
        for name, wound in list(self._wounds.items()):
            if all_now or time.monotonic() >= wound.until:
                self._wounds.pop(name).heal()

    def who_died(self) -> set[str]:
        """Processes that ended though nobody killed them."""
        return set(self.victims) - set(self.town.devnet.processes.running()) - set(self._wounds)

    def witness(self) -> None:
        """Take down all commits of the present branch."""
        chain = self.town.chain
        first = self.town.devnet.network.deploy_block
        for event in chain.events(first, chain.head().number, names=["Committed"]):
            self.commits.setdefault(_seat_of(event), set()).add(bytes(event.args["hash"]))

    # ------------------------------------------------------------------------------------------------- faults

    def _victim(self) -> str:
        return self._random.choice([name for name in self.victims if name not in self._wounds])

    def _wound(self, name: str, heal: Callable[[], object]) -> None:
        self._wounds[name] = _Wound(time.monotonic() + self._random.uniform(0, _LONGEST_S), heal)

    def _kill(self) -> str:
        name = self._victim()
        self.town.kill(name)
        self._wound(name, lambda: self.town.start(name))
        return f"kill -9 {name}"

    def _hang(self) -> str:
        name = self._victim()
        pid = self.town.devnet.processes.running()[name]
        os.kill(pid, signal.SIGSTOP)
        self._wound(name, lambda: os.kill(pid, signal.SIGCONT))
        return f"stop {name}"

    def _empty_service(self) -> str:
        """The market service loses its database, with all letters in it, and begins anew."""
        if "service" in self._wounds:
            return "nothing"
        self.town.kill("service")
        for path in self.town.devnet.state.glob("service.db*"):
            path.unlink()
        self._wound("service", lambda: self.town.start("service"))
        return "empty service"

    def _reorg(self) -> str:
        depth = self._random.randint(1, DEEPEST_REORG)
        self.witness()
        self.town.reorg(depth)
        return f"reorg of {depth}"

    def _stall_chain(self) -> str:
        """The RPC accepts and does not answer; no block is mined meanwhile."""
        pid = self.town.devnet.processes.running()["anvil"]
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(self._random.uniform(1, 4))
        finally:
            os.kill(pid, signal.SIGCONT)
        return "chain stalls"

    def _pass_deadline(self, live: list[JobId]) -> str:
        job = self._random.choice(live)
        self.town.pass_deadline(job)
        return f"deadline of {job[:10]} passes"


def _seat_of(event: ChainEvent) -> tuple[JobId, int, int]:
    job = event.job
    assert job is not None
    return job, event.args["round"], event.args["seat"]
