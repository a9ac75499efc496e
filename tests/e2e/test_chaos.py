"""Jobs while everything fails: a random run, and afterwards each promise of P11.

`HELDOUT_CHAOS_SEED` repeats the order of faults of a run that failed, `HELDOUT_CHAOS_JOBS` sets how many jobs.
"""

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from heldout.devnet.devnet import Devnet
from heldout.market.errors import HeldoutError, Reverted
from heldout.market.lifecycle import JobState, State
from heldout.market.terms import JobId
from heldout.requester_cli.client import Client
from heldout.requester_cli.posting import Posting
from tests.e2e.chaos import Chaos
from tests.e2e.town import GOOD_ENOUGH, VALIDATORS, Town, check_ledger, eventually

pytestmark = [pytest.mark.deep, pytest.mark.e2e, pytest.mark.docker]
T = TypeVar("T")

SEED = int(os.environ.get("HELDOUT_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
JOBS = int(os.environ.get("HELDOUT_CHAOS_JOBS") or 12)
PROVIDERS = 2
AT_ONCE = 3
"""Jobs that live at the same time."""
_QUICK = {**GOOD_ENOUGH, "seconds": "30", "work": '"90 s"'}
_MOST_STAGES = 20
_PATIENCE_S = 60.0
_MOST_S = 600.0
"""Of faults; twelve jobs take some three minutes."""


@pytest.fixture
def town(tmp_path: Path, job_image: str) -> Iterator[Town]:
    """A town of its own, so that nothing here can be laid at another test's door, with two real providers."""
    with Devnet.up(tmp_path / "devnet", block_time=1, providers=PROVIDERS, validators=VALIDATORS) as devnet:
        assert job_image in devnet.network.images.values()
        town = Town(devnet, tmp_path)
        town.start_index("witness")
        town.start("requester")
        yield town
        town.close()


@dataclass
class Requester:
    """A person at the command line, who tries again what may succeed later, and posts again what a reorg took back."""

    town: Town
    chaos: Chaos
    posted: dict[JobId, tuple[Client, Posting]] = field(default_factory=dict)

    def post(self) -> JobId:
        client, folder = self.town.requester(), self.town.folder(f"job-{len(self.posted)}", **_QUICK)
        self._insist(lambda: client.seal(folder))
        posting = client.draft(folder)
        self.posted[posting.job] = client, posting
        return self._insist(lambda: client.post(posting))

    def look(self) -> dict[JobId, JobState]:
        """All jobs as the chain tells them, after seeing to it that it tells of all."""
        for client, posting in self.posted.values():
            if self.town.chain.job(posting.job).state is State.NONE:
                self._insist(lambda c=client, p=posting: c.post(p))  # type: ignore[misc]
        return {job: self.town.job(job) for job in self.posted}

    def _insist(self, act: Callable[[], T]) -> T:
        """Also after a revert: a reorg may take back what was to pay for a call."""
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return act()
            except HeldoutError as problem:
                helps = problem.retryable or isinstance(problem, Reverted)
                if not helps or time.monotonic() > give_up:
                    raise
            time.sleep(1)
            self.chaos.heal()


def test_jobs_end_and_money_sums_whatever_fails(town: Town) -> None:
    """P11 (a) to (e), threats 26 to 30, 35, 38, 40 to 43, 51 to 53, 56."""
    nodes = [f"provider-{n}" for n in range(PROVIDERS)] + [f"validator-{n}" for n in range(VALIDATORS)]
    chaos = Chaos(town, SEED, ("requester", "store", "service", *nodes))
    requester = Requester(town, chaos)
    print(f"\nHELDOUT_CHAOS_SEED={SEED} HELDOUT_CHAOS_JOBS={JOBS}")
    faults: Counter[str] = Counter()
    give_up = time.monotonic() + _MOST_S
    while time.monotonic() < give_up:  # a job that does not end by itself is told of below
        live = [job for job, state in requester.look().items() if not state.final]
        if len(requester.posted) == JOBS and not live:
            break
        if len(requester.posted) < JOBS and len(live) < AT_ONCE:
            live.append(requester.post())
        told = chaos.strike(live)
        faults[told.split(" ")[0]] += 1
        print(f"{len(requester.posted)}/{JOBS} jobs, {len(live)} live: {told}")
        time.sleep(1.5)
        chaos.heal()
        assert chaos.who_died() == set(), (
            f"{chaos.who_died()}: {town.devnet.processes.log_tail(next(iter(chaos.who_died())))}"
        )
    chaos.heal(all_now=True)
    ended = [finish(town, job) for job in requester.posted]
    print(f"{dict(faults)}; outcomes {dict(Counter(job.outcome.name for job in ended))}")
    check_promises(town, chaos, ended)


def finish(town: Town, job: JobId) -> JobState:
    """P11 (c): with all parties back, a job comes to its end; at the latest by one deadline after the other."""
    for _ in range(_MOST_STAGES):
        stage = town.job(job)
        if stage.final:
            return stage
        give_up = time.monotonic() + _PATIENCE_S
        while (town.job(job).state, town.job(job).round) == (stage.state, stage.round) and time.monotonic() < give_up:
            time.sleep(1)
        if time.monotonic() >= give_up:
            town.pass_deadline(job)
    raise AssertionError(f"job {job} does not end\n{town.story(job)}")


def check_promises(town: Town, chaos: Chaos, ended: list[JobState]) -> None:
    """P11, clause by clause."""
    for job in ended:
        assert job.money_in == job.money_out, f"(a)\n{town.story(job.id)}"
        assert town.chain.held_for(job.terms) == 0
    check_ledger(town)

    chaos.witness()
    twice = {seat: hashes for seat, hashes in chaos.commits.items() if len(hashes) > 1}
    assert twice == {}, "(b) a seat committed to two votes in one round"

    eventually(lambda: not containers(ended), "(d) no stray container")
    assert chaos.who_died() == set()

    town.start_index("rebuilt")
    lived_through = town.index_hash("service")
    assert {town.index_hash("witness"), town.index_hash("rebuilt")} == {lived_through}, "(e)"


def containers(jobs: list[JobState]) -> list[str]:
    """Containers of these jobs, running or not."""
    argv = ["docker", "ps", "-a", "--filter", "label=heldout.job", "--format", "{{.Names}}"]
    names = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    return [name for name in names if any(job.id in name for job in jobs)]
