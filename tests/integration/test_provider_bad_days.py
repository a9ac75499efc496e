"""A training survives its node's bad days (issue 5 items 6 and 9): a lost disk, an owner who is back."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from provider_process import PROVIDER, heldout, leftovers, provider, set_up, story
from scripted_job import ScriptedJob

from heldout.devnet.devnet import Devnet
from heldout.market.artifacts import HttpStore, artifact_id
from heldout.market.journal import glance
from heldout.market.lifecycle import State
from heldout.market.messages import Kind
from heldout.market.sandbox import open_runner
from heldout.provider.assembly import read_config
from heldout.provider.making import PROGRESS
from heldout.provider.training import Training

pytestmark = [pytest.mark.integration, pytest.mark.docker]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, job_image: str) -> Iterator[Devnet]:
    with Devnet.up(tmp_path_factory.mktemp("devnet"), block_time=1, validators=8) as devnet:
        named = replace(devnet.network, images={"linux/amd64": job_image, "linux/arm64": job_image})
        devnet.network_file.write_text(named.to_json())
        set_up(devnet, runner="docker", checkpoint_s="1")
        yield devnet


@pytest.fixture
def job(net: Devnet, job_image: str) -> Iterator[ScriptedJob]:
    with ScriptedJob(net, epochs=250, image=job_image) as scripted:
        yield scripted


def progress(net: Devnet, job: ScriptedJob) -> dict[str, Any]:
    """What the running node has noted of the training: as `provider status` reads it, without its start-up time."""
    return dict(glance(net.home(PROVIDER) / "journal", PROGRESS)).get(PROGRESS + job.id, {})


def epoch(net: Devnet, job: ScriptedJob) -> int:
    return max((int(each.get("epoch", 0)) for each in progress(net, job).get("readings", ())), default=0)


def first_readings(net: Devnet, job: ScriptedJob) -> list[int]:
    """Where each attempt that told so began."""
    lanes = job.requester.mail.readings(job.id)
    return [int(reading["resumed"]) for reading in lanes.get(0, []) if "resumed" in reading]


def test_a_node_that_lost_its_disk_goes_on_from_its_newest_checkpoint(net: Devnet, job: ScriptedJob) -> None:
    """Only the keys and provider.toml are left, as after a restore from backup on another machine."""
    home = net.home(PROVIDER)
    job.post()
    with provider(net) as node:
        job.accept()
        job.requester.mail.send(job.training_keys())
        job.until(lambda: story(net).count("bytes sealed") >= 2 and epoch(net, job) > 30, 60, "two checkpoints")
        node.send_signal(signal.SIGKILL)
        node.wait(10)
    letters = [letter for letter in net_mail(net, job) if letter.kind is Kind.CHECKPOINT]
    assert [letter.int_of("sequence") for letter in letters][:2] == [1, 2]
    blob = job.stores.get(artifact_id(letters[-1].bytes_of("sealedHash")))
    assert b"checkpoint/epoch" not in blob
    lose_everything(net, job)
    assert not (home / "journal").exists()
    with provider(net):
        resumed = job.until(lambda: [at for at in first_readings(net, job) if at], 60, "the next attempt")
        assert min(resumed) >= 10 and "goes on from checkpoint" in story(net)
        job.await_state(State.COMMITTING, 120)
        job.until(lambda: job.letters(Kind.SUBMISSION, job.requester), 30, "the requester's letter")
        job.vote(900_000)
        job.until(lambda: job.letters(Kind.HALF_B, job.requester), 30, "half b")
        net.warp(61)
        assert job.await_state(State.SETTLED).lanes[0].payout > 0
        job.until(lambda: not leftovers(net, job), 20, "a clean house")
    told = [letter.bytes_of("sealedHash").hex() for letter in net_mail(net, job) if letter.kind is Kind.CHECKPOINT]
    kept = {pin["artifact"] for pin in provider_pins(net, job) if not pin["dropped"]}
    assert kept and told[-1] not in kept and len(kept & set(told)) <= 1, "the one the lost disk knew of, at most"
    events = job.chain.events(0, job.chain.head().number, job=job.id)
    assert [event.name for event in events].count("Submitted") == 1


def net_mail(net: Devnet, job: ScriptedJob) -> Any:
    return job.party(PROVIDER).mail.fetch(job.id)


def provider_pins(net: Devnet, job: ScriptedJob) -> list[dict[str, Any]]:
    store = HttpStore(net.network.stores[0], job.party(PROVIDER).keys.account)
    try:
        return list(store.pins())
    finally:
        store.close()


def lose_everything(net: Devnet, job: ScriptedJob) -> None:
    """Journal, work folder, disks, and whatever ran on that machine."""
    home = net.home(PROVIDER)
    training = Training(open_runner(read_config(home).runner, home / "sandbox", chain_id=net.network.chain_id))
    training.sweep([])
    training.close()
    for name in ("journal", "work", "sandbox"):
        path = home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_an_owner_who_is_back_has_the_machine_and_the_job_its_deadline(net: Devnet, job: ScriptedJob) -> None:
    """`provider freeze`: the job stands still, `status` says why, and `resume` lets it go on where it stood. With
    no time to spare it is thawed, with an alarm: [when] at_risk = "thaw"."""
    job.post()
    with provider(net):
        job.accept()
        job.requester.mail.send(job.training_keys())
        job.until(lambda: epoch(net, job) > 5, 60, "some epochs")
        heldout(net, "provider", "freeze")
        job.until(lambda: progress(net, job).get("frozen"), 30, "a frozen job")
        (told,) = [each for each in heldout(net, "provider", "status")["jobs"] if each["job"] == job.id]
        assert told["stage"] == "frozen" and "the owner told it to freeze" in told["reason"]
        before = epoch(net, job)
        time.sleep(3)
        assert epoch(net, job) == before
        heldout(net, "provider", "resume")
        job.until(lambda: epoch(net, job) > before, 30, "more epochs")
        assert not progress(net, job)["frozen"]
        heldout(net, "provider", "freeze")
        job.until(lambda: progress(net, job).get("frozen"), 30, "a frozen job")
        net.warp(460)
        job.until(lambda: not progress(net, job).get("frozen"), 30, "a thawed job")
        job.until(lambda: "goes on against the owner's wish" in story(net), 10, "the alarm")
        job.await_state(State.COMMITTING, 120)
        heldout(net, "provider", "resume")
    assert "attempt 2" not in "".join(line for line in story(net).splitlines() if job.id in line)
