"""Every way to run jobs that this machine has, for the tests that all of them must pass alike.

docker          the engine of `./run`, /out on a loop file system if this is root, else in a volume
docker-volume   the same engine, /out in a memory-backed volume of it: what a node without root uses
docker-strict   the same engine, a kernel of the job's own (gVisor)
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

ENGINES = ("docker", "docker-volume", "docker-strict", "podman")


def runner_of(kind: str, state: Path, address: str = "") -> Runner:
    if kind == "docker-volume":
        return DockerRunner(state, disks=VolumeDisks)
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
