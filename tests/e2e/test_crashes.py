"""Power cuts: processes killed with -9, disks and services lost in mid-job (P11, threats 40 to 43, 52, 53)."""

import shutil
import subprocess
import time

import pytest

from heldout.market.lifecycle import Outcome, State
from tests.e2e.town import GOOD_ENOUGH, SLOW, Kept, Town, check_ended, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def containers() -> list[str]:
    """Containers of jobs that this town's provider runs or left."""
    done = subprocess.run(
        ["docker", "ps", "-a", "--filter", "label=heldout.job", "--format", "{{.Names}} {{.Status}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def mine(names: list[str], job: str) -> list[str]:
    return [name for name in names if job in name]


def test_a_provider_killed_in_training_goes_on_and_submits_once(town: Town) -> None:
    """Threat 40: restart resumes; never two submits; the container is adopted or reaped."""
    client, job = town.post("killed-in-training", **SLOW)
    with Kept(town):
        town.until_state(job, State.RUNNING)
        eventually(lambda: bool(mine(containers(), job)), "a container of the job")
        town.kill("provider-0")
        time.sleep(2)
        assert town.job(job).state is State.RUNNING
        town.start("provider-0")
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.lanes[0].payout > 0
    assert len([e for e in client.events(ended) if e.name == "Submitted"]) == 1
    eventually(lambda: not mine(containers(), job), "P11 (d): no stray container")


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_a_validator_killed_between_commit_and_reveal_still_reveals(town: Town, disk: str) -> None:
    """Threats 42 and 43: from its journal, or, with the disk gone, by measuring again and deriving the salt again."""
    client, job = town.post(f"killed-{disk}", **{**GOOD_ENOUGH, "reveal": '"90 s"'})
    with Kept(town):
        with town.stopped(job, town.lone) as seats:
            ((victim, place),) = town.lone(seats).items()
            name = f"validator-{victim}"
            town.kill(name)
        town.start(name, HELDOUT_FAILPOINT="after_commit")
        town.until(job, "the victim's commit", lambda j: place in j.rounds[0].commits)
        town.until_dead(name)
        if disk == "lost":
            shutil.rmtree(town.devnet.home(name) / "journal")
        town.start(name)
        scored = town.until_state(job, State.SCORED, 1)
        assert place in scored.rounds[0].votes
        assert len(set(scored.rounds[0].votes.values())) == 1
        ended = town.settle(job)
    check_ended(town, ended, Outcome.MEASURED)
    assert len([e for e in client.events(ended) if e.name == "Committed"]) == 3


def test_a_job_finishes_without_the_market_service_and_the_index_is_rebuilt_equal(town: Town) -> None:
    """Threats 52 and 53: chain and stores carry the job; a new index equals one that lived through everything."""
    client, job = town.post("no-service", **GOOD_ENOUGH)
    with Kept(town):
        town.until_state(job, State.RUNNING)
        town.devnet.processes.stop("service")
        for path in town.devnet.state.glob("service.db*"):
            path.unlink()
        try:
            ended = town.settle(job)
        finally:
            town.start("service")
    check_ended(town, ended, Outcome.MEASURED)
    assert ended.lanes[0].payout > 0
    weights = town.fetch(client, ended)
    assert all(check.ok for check in client.verify(ended, {0: weights}))
    spoiled = [check for check in client.verify(ended, {0: b"not safetensors"}) if check.reason]
    assert [(check.ok, check.what) for check in spoiled] == [(False, "score of lane 0")], "and it is said why"
    rebuilt, lived_through = town.index_hash("service"), town.index_hash("witness")
    assert rebuilt == lived_through
