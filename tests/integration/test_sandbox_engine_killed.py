"""The container engine itself is killed in mid-training: one of this test's own, in a network namespace of its own with
its own containerd, folders and socket, so that nobody else's containers notice (threat 61, issue 5 item 6)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heldout.market.sandbox import MIB, RunReport
from heldout.market.sandbox.docker import DockerRunner
from tests.sandbox_jobs import Bench

pytestmark = [
    pytest.mark.integration,
    pytest.mark.docker,
    pytest.mark.deep,
    pytest.mark.skipif(os.geteuid() != 0, reason="a second engine needs root"),
]

TRAINING = """
    import os, pathlib, time
    step = pathlib.Path("/out/checkpoint/step")
    first = int(step.read_text()) + 1 if step.exists() else 0
    print("from", first, flush=True)
    step.parent.mkdir(exist_ok=True)
    for number in range(first, int(os.environ["STEPS"])):
        (step.parent / "new").write_text(str(number)); (step.parent / "new").rename(step)
        time.sleep(0.1)
    pathlib.Path("/out/weights.safetensors").write_bytes(b"trained")
"""


@dataclass
class OwnEngine:
    """dockerd and containerd under one folder."""

    folder: Path
    live_restore: bool
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        if not self.processes:
            config = self.folder / "containerd.toml"
            config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
            places = [f"--root={self.folder}/cr", f"--state={self.folder}/cs", f"--address={self.folder}/c.sock"]
            self._spawn("containerd", f"--config={config}", *places)
            self._await(lambda: (self.folder / "c.sock").exists())
        (self.folder / "docker.pid").unlink(missing_ok=True)
        (self.folder / "daemon.json").write_text("{}")
        self._spawn(
            *("unshare", "--net", "dockerd", f"--config-file={self.folder}/daemon.json", f"--host={self.address}"),
            *(f"--containerd={self.folder}/c.sock", f"--data-root={self.folder}/data", "--bridge=none"),
            *(f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/docker.pid", "--iptables=false"),
            *(("--live-restore",) if self.live_restore else ()),
        )
        self._await(lambda: self.docker("info").returncode == 0)

    def kill(self) -> None:
        """kill -9 of dockerd alone."""
        self.processes[-1].send_signal(signal.SIGKILL)
        self.processes.pop().wait(10)

    def docker(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["docker", "--host", self.address, *words], capture_output=True, check=False)

    def stop(self) -> None:
        if ids := self.docker("ps", "-aq").stdout.decode().split():
            self.docker("rm", "--force", *ids)
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((each for each in mounts if each.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(
                ["umount", mount], check=False
            )  # a dockerd that was killed leaves its own data folder mounted

    def _spawn(self, *command: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True))

    def _await(self, ready: object) -> None:
        assert callable(ready)
        give_up = time.monotonic() + 60
        while not ready():
            if time.monotonic() > give_up or self.processes[-1].poll() is not None:
                pytest.fail(f"the engine does not start: {(self.folder / 'log').read_text()[-1500:]}")
            time.sleep(0.2)


@pytest.fixture(params=[False, True], ids=["live-restore off", "live-restore on"])
def engine(request: pytest.FixtureRequest, job_image: str) -> Iterator[OwnEngine]:
    folder = Path(f"/var/tmp/hd-{os.getpid()}-{int(request.param)}")  # a socket's path must be short
    folder.mkdir(mode=0o700)
    engine = OwnEngine(folder, request.param)
    try:
        engine.start()
        with subprocess.Popen(["docker", "save", job_image], stdout=subprocess.PIPE) as save:
            subprocess.run(
                ["docker", "--host", engine.address, "load"], stdin=save.stdout, check=True, capture_output=True
            )
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_training_outlives_its_engine_or_goes_on_from_its_checkpoint(
    engine: OwnEngine, job_image: str, tmp_path: Path
) -> None:
    """With live-restore it is the same attempt that ends; without, the next begins where that one was cut off."""
    bench = Bench(DockerRunner(tmp_path / "state", address=engine.address), job_image, tmp_path / "work")

    async def life() -> tuple[RunReport, Path]:
        steps = "200" if engine.live_restore else "550"
        handle = await bench.runner.start(bench.spec(TRAINING, env={"STEPS": steps}))
        waiting = asyncio.create_task(bench.runner.wait(handle))
        step = tmp_path / "state" / "out" / "job-1" / "checkpoint" / "step"
        while not (step.exists() and int(step.read_text()) > 20):
            await asyncio.sleep(0.1)
        await asyncio.to_thread(engine.kill)
        await asyncio.to_thread(engine.start)
        return await waiting, step

    report, step = asyncio.run(life())
    reached = int(step.read_text())
    if engine.live_restore:
        assert report.ok and reached == 199
    else:
        assert not report.ok and 20 < reached < 549
        report, log = asyncio.run(bench.run(bench.spec(TRAINING, attempt="2", env={"STEPS": "0"})))
        assert report.ok and log == [f"from {reached + 1}"]
    (last,) = [each for each in asyncio.run(bench.runner.reconcile(["job-1"])) if each.attempt in ("1", "2")]
    assert asyncio.run(bench.runner.collect(last, max_bytes=MIB)).path.read_bytes() == b"trained"
    asyncio.run(bench.clear())
