"""A provider with real containers: adopted after kill -9, gone when the job is over, and attacked by `doctor`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from urllib.request import urlopen

import pytest
from provider_process import PROVIDER, leftovers, provider, set_up, story
from scripted_job import ScriptedJob

from heldout.devnet.devnet import Devnet
from heldout.market.artifacts import Stores, parse_id
from heldout.market.journal import glance
from heldout.market.lifecycle import State
from heldout.market.messages import Kind
from heldout.market.sandbox.hostile import load_manifest
from heldout.market.sandbox.profile import LABEL_JOB
from heldout.provider.record import PREFIX, Record
from heldout.provider.shown import FILE_NAME, Shown

pytestmark = [pytest.mark.integration, pytest.mark.docker]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, job_image: str) -> Iterator[Devnet]:
    with Devnet.up(tmp_path_factory.mktemp("devnet"), block_time=1, validators=8) as devnet:
        named = replace(devnet.network, images={"linux/amd64": job_image, "linux/arm64": job_image})
        devnet.network_file.write_text(named.to_json())
        set_up(devnet, runner="docker")
        yield devnet


def containers(job: ScriptedJob) -> list[str]:
    found = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label={LABEL_JOB}={job.id}"], capture_output=True, text=True, check=True
    )
    return found.stdout.split()


def test_a_container_outlives_its_killed_node_and_is_adopted_by_the_next(net: Devnet, job_image: str) -> None:
    """Threats 40, 60: one attempt, one container, one submission; and no container once the job is settled."""
    with ScriptedJob(net, epochs=120, image=job_image) as job:
        job.post()
        with provider(net, failpoint="train.started") as node:
            job.accept()
            job.requester.mail.send(job.training_keys())
            job.until(lambda: node.poll() is not None, 60, "the end of the node")
            assert node.returncode == -signal.SIGKILL
        before = containers(job)
        assert len(before) == 1
        with provider(net):
            job.await_state(State.COMMITTING, 90)
            assert containers(job) in ([], before)
            job.vote(900_000)
            job.await_state(State.SCORED)
            net.warp(61)
            settled = job.await_state(State.SETTLED)
            job.until(lambda: not leftovers(net, job), 20, "a clean house")
        assert containers(job) == []
        assert job.until(lambda: job.letters(Kind.HALF_B, job.requester), 10, "half b, for the challenge was too short")
        assert settled.lanes[0].payout == settled.lanes[0].price
    assert "attempt 2" not in "".join(line for line in story(net).splitlines() if job.id in line)


def forms(secret: bytes) -> set[bytes]:
    """How a secret may be written down."""
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), b64encode(secret).rstrip(b"=")}


def test_no_secret_of_a_job_is_found_in_anything_that_was_written_or_shown(net: Devnet, job_image: str) -> None:
    """Threat 82: a whole job, then a search of every file of the devnet (logs, databases, stores), the engine's
    description of the container, its log with the job's environment in it, and the metrics. Only key rings, the
    password's own file and the nodes' journals may hold what they are for."""
    with ScriptedJob(net, epochs=150, image=job_image) as job, provider(net):
        job.post()
        job.accept()
        job.requester.mail.send(job.training_keys())
        (container,) = job.until(lambda: containers(job), 60, "the container")
        shown = subprocess.run(["docker", "inspect", container], capture_output=True, check=True).stdout
        look = ["docker", "exec", container, "cat", "/proc/1/environ"]
        environment = job.until(lambda: subprocess.run(look, capture_output=True).stdout, 30, "its environment")
        port = re.findall(r"metrics 127\.0\.0\.1:(\d+)", story(net))[-1]
        shown += environment + urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
        assert b"HELDOUT_SEED" in environment and b"heldout_provider" in shown
        job.await_state(State.COMMITTING, 90)
        job.vote(900_000)
        job.await_state(State.SCORED)
        assert job.until(lambda: job.letters(Kind.HALF_B, job.requester), 30, "half b")
        (raw,) = [raw for _, raw in glance(net.home(PROVIDER) / "journal", PREFIX) if raw["job"] == job.id]
        sealed, keys = Record.from_dict(raw).sealed, net.keys(PROVIDER)
        assert sealed is not None
        net.warp(61)
        job.await_state(State.SETTLED)
        job.until(lambda: not leftovers(net, job), 20, "a clean house")
        secrets = {
            "the root of all secrets": keys._root,
            "the wrapping key": keys.wrap_private,
            "the password": net.password_file.read_bytes().strip(),
            "half a": bytes.fromhex(sealed.half_a),
            "half b": bytes.fromhex(sealed.half_b),
            "the envelope's seed": bytes.fromhex(sealed.seed_a),
            **{f"the key of shard {number}": key for number, key in enumerate(job.shard_keys)},
        }
    written = {"what was shown": shown} | {
        str(path): path.read_bytes()
        for path in net.state.rglob("*")
        if path.is_file() and "journal" not in path.name and "scripted" not in path.parts and path != net.password_file
    }
    assert any("store" in name for name in written) and any("service" in name for name in written)
    found = [
        (what, where)
        for what, secret in secrets.items()
        for where, data in written.items()
        if any(form in data for form in forms(secret))
    ]
    assert found == []
    journal = b"".join(path.read_bytes() for path in (net.home(PROVIDER) / "journal").iterdir())
    halves = secrets["half a"], secrets["half b"]
    assert all(any(form in journal for form in forms(half)) for half in halves), "it finds what is there"


def test_doctor_shows_every_layer_of_the_standard_tier(net: Devnet) -> None:
    """Threat 59 and issue 5 item 2, as the owner of the machine checks it; the record is signed and can be had."""
    command = net.command(
        "provider", "doctor", "--no-timing", "--publish", "--tier", "standard", "--json", home=PROVIDER
    )
    told = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout)
    shown = Shown.decode((net.home(PROVIDER) / FILE_NAME).read_bytes())
    shown.check()
    assert "standard" in shown.offered(load_manifest().tiers), json.dumps(told, indent=1)
    said = {each["check"]: each["detail"] for each in told["findings"]}
    assert "not offered" in said["standard: kernel"]
    assert "host's kernel" in said["cannot be hidden"] and "runc" in said["engine"]
    artifact = said["offered"].rpartition("artifact ")[2]
    assert Stores.of(net.network.stores).get(parse_id(artifact), 1 << 16) == shown.encode()


def test_doctor_names_what_is_wrong(net: Devnet) -> None:
    config = net.home(PROVIDER) / "provider.toml"
    sound = config.read_text()
    try:
        config.write_text(sound.replace('gas_reserve = "0.01"', 'gas_reserve = "1000000"'))
        command = net.command("provider", "doctor", "--no-sandbox", "--json", home=PROVIDER)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    finally:
        config.write_text(sound)
    assert done.returncode == 1
    assert [each["check"] for each in json.loads(done.stdout)["findings"] if not each["ok"]] == ["money"]
