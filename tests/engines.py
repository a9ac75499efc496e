"""Every way to run jobs that this machine has, for the tests that all of them must pass alike.

docker          the engine of `./run`, /out on a loop file system if this is root, else in a volume
docker-volume   the same engine, /out in a memory-backed volume of it: what a node without root uses
docker-strict   the same engine, a kernel of the job's own (gVisor)
docker-rootless an engine of the test's own, in a user namespace (`rootless.py`)
podman          Podman's API on a socket of the test's own
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heldout.market.sandbox import DEVNET_CHAIN_ID, STANDARD, STRICT, Runner, open_runner
from heldout.market.sandbox.docker import DockerRunner
from heldout.market.sandbox.engine import Engine
from heldout.market.sandbox.volumes import VolumeDisks
from tests.rootless import rootless_engine

ENGINES = ("docker", "docker-volume", "docker-strict", "docker-rootless", "podman")


def runner_of(kind: str, state: Path, address: str = "") -> Runner:
    if kind == "docker-volume":
        return DockerRunner(state, disks=VolumeDisks)
    if kind == "docker-rootless":
        return DockerRunner(state, address=address, disks=VolumeDisks)
    if kind == "podman":
        return DockerRunner(state, address=address)
    return open_runner(kind.partition("-")[0], state, chain_id=DEVNET_CHAIN_ID)


def tier_of(kind: str) -> str:
    return STRICT if kind == "docker-strict" else STANDARD


def require(kind: str) -> None:
    """Skips, in plain words, what this machine lacks."""
    if kind == "docker-strict" and STRICT in (missing := Engine("", "").facts.missing):
        pytest.skip(f"strict: {missing[STRICT]}")
    if kind == "podman" and shutil.which("podman") is None:
        pytest.skip("podman is not installed: apt-get install podman")


@contextmanager
def rootless_docker(image: str) -> Iterator[str]:
    """Docker as somebody who is not root, with the job image loaded. Its address. Skips, in the node's own words, where
    that engine gives no tier: there is nothing to conform then (`test_sandbox_rootless.py`)."""
    with rootless_engine("docker") as socket:
        facts = Engine("", address := f"unix://{socket}").facts
        if STANDARD not in facts.runtimes:
            pytest.skip(f"rootless Docker: {facts.missing[STANDARD]}")
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            load = ["docker", "--host", address, "load", "--quiet"]
            subprocess.run(load, stdin=save.stdout, check=True, capture_output=True)
        yield address


@contextmanager
def podman_service(folder: Path, image: str) -> Iterator[str]:
    """Podman's API on a socket in `folder`, with the job image loaded. Its address."""
    socket = folder / "podman.sock"
    if subprocess.run(["podman", "image", "exists", image], check=False).returncode:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            subprocess.run(["podman", "load", "--quiet"], stdin=save.stdout, check=True, capture_output=True)
    with subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{socket}"]) as service:
        try:
            for _ in range(100):
                if socket.exists():
                    break
                time.sleep(0.1)
            yield f"unix://{socket}"
        finally:
            service.terminate()
