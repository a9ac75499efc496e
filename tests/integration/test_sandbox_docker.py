"""What only containers can promise: the profile as the engine sees it, exact quotas, restarts, nodes side by side."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heldout.market.sandbox import (
    AttemptLost,
    ImageRefused,
    RunReport,
    SandboxUnavailable,
    open_runner,
)
from heldout.market.sandbox.docker import DockerRunner
from heldout.market.sandbox.engine import Engine
from heldout.market.sandbox.places import UIDS, free_uid
from heldout.market.sandbox.profile import node_label
from heldout.market.sandbox.volumes import VolumeDisks
from tests.sandbox_jobs import MIB, SMALL, Bench

pytestmark = [pytest.mark.integration, pytest.mark.docker]


@pytest.fixture
def bench(job_image: str, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(open_runner("docker", tmp_path / "state", chain_id=1), job_image, tmp_path / "work")
    yield bench
    asyncio.run(bench.clear())


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]


def test_the_engine_confirms_every_line_of_the_profile(bench: Bench) -> None:
    """Issue 2 item 5: nothing is claimed that the engine does not report of the running container."""

    async def inspect() -> dict[str, Any]:
        handle = await bench.runner.start(bench.spec("import time; time.sleep(60)"))
        found: dict[str, Any] = json.loads(docker("inspect", handle.ref))[0]
        await bench.runner.stop(handle, 0)
        return found

    found = asyncio.run(inspect())
    host, config = found["HostConfig"], found["Config"]
    assert host["NetworkMode"] == "none" and host["ReadonlyRootfs"] and not host["Privileged"]
    assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Devices"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert any(option.startswith("seccomp=") and '"clone3"' in option for option in host["SecurityOpt"])
    assert host["Memory"] == host["MemorySwap"] == SMALL.memory_bytes and host["PidsLimit"] == SMALL.pids
    assert host["NanoCpus"] == 10**9 and host["IpcMode"] == "private" and host["CgroupnsMode"] == "private"
    assert set(host["Tmpfs"]) == {"/tmp", "/scratch"}
    assert all("noexec" in options and "nosuid" in options for options in host["Tmpfs"].values())
    assert {(mount["Destination"], mount["RW"]) for mount in found["Mounts"]} == {
        ("/in/task", False),
        ("/in/data", False),
        ("/out", True),
    }
    assert host["LogConfig"]["Config"]["max-size"] and host["RestartPolicy"]["Name"] in ("", "no")
    uid, gid = map(int, config["User"].split(":"))
    assert uid == gid and uid in UIDS
    assert len(host["CpusetCpus"].split(",")) == SMALL.cpus
    assert {"heldout.job", "heldout.attempt", "heldout.deadline", "heldout.node"} <= config["Labels"].keys()


def test_cpu_and_memory_of_a_run_are_metered(bench: Bench) -> None:
    program = """
        import time
        heap = bytearray(80 << 20)
        while time.process_time() < 3: heap[::4096]
        time.sleep(2)
    """
    report, _ = asyncio.run(bench.run(bench.spec(program)))
    assert report.ok and 2.0 < report.cpu_s < 4.5 and report.wall_s > 5
    assert 80 * MIB < report.peak_memory < 160 * MIB


@pytest.mark.skipif(os.geteuid() != 0, reason="exact quotas need root; without it the runner watches the size")
def test_the_quota_of_out_is_exact_and_survives_attempts(bench: Bench, tmp_path: Path) -> None:
    program = """
        import os
        before = os.statvfs("/out")
        print(before.f_blocks * before.f_frsize <= 16 << 20, before.f_files <= 600, os.listdir("/out"))
        open("/out/kept", "w").write("x")
    """
    _, first = asyncio.run(bench.run(bench.spec(program, attempt="1")))
    _, second = asyncio.run(bench.run(bench.spec(program, attempt="2")))
    assert first == ["True True []"] and second == ["True True ['kept']"]
    asyncio.run(bench.runner.discard("job-1"))
    assert mounts_below(tmp_path) == []


def test_nodes_on_one_engine_leave_each_other_alone(bench: Bench, tmp_path: Path) -> None:
    """Two providers share this machine in the demo: neither may reap the other's containers."""
    other = open_runner("docker", tmp_path / "other", chain_id=1)

    async def life() -> None:
        mine = await bench.runner.start(bench.spec("import time; time.sleep(60)"))
        assert await other.reconcile([]) == [] and await other.running() == []
        theirs = await other.start(bench.spec("import time; time.sleep(60)"))
        assert [found.ref for found in await bench.runner.running()] == [mine.ref]
        await other.discard("job-1")
        assert [found.ref for found in await bench.runner.running()] == [mine.ref]
        with pytest.raises(AttemptLost):
            await other.wait(theirs)

    asyncio.run(life())


def test_no_two_running_jobs_share_a_user_whichever_node_runs_them(bench: Bench, tmp_path: Path) -> None:
    """Issue 5 item 8: the kernel counts inotify watches, signals and processes by uid, across containers."""
    other = open_runner("docker", tmp_path / "other", chain_id=1)
    told = "import os, time; print(os.getuid(), flush=True); time.sleep(60)"

    async def life() -> set[str]:
        handles = [
            (runner, await runner.start(bench.spec(told, job=job)))
            for runner, job in ((bench.runner, "job-1"), (bench.runner, "job-2"), (other, "job-1"))
        ]
        uids = {await anext(runner.logs(handle)) for runner, handle in handles}
        await other.discard("job-1")
        return uids

    assert len(asyncio.run(life())) == 3


def test_two_nodes_that_start_a_job_in_one_instant_do_not_choose_the_same_user(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has chosen and its container is not there yet when the second chooses."""
    other = open_runner("docker", tmp_path / "other", chain_id=1)
    chosen, run = threading.Event(), Engine.run

    def slowly(engine: Engine, options: dict[str, Any]) -> Any:
        chosen.set()
        time.sleep(1)
        return run(engine, options)

    async def life() -> set[str]:
        spec = bench.spec("import os, time; print(os.getuid(), flush=True); time.sleep(60)")
        first = asyncio.create_task(bench.runner.start(spec))
        await asyncio.to_thread(chosen.wait)
        handles = [(other, await other.start(spec)), (bench.runner, await first)]
        uids = {await anext(runner.logs(handle)) for runner, handle in handles}
        await other.discard(spec.job)
        return uids

    monkeypatch.setattr(Engine, "run", slowly)
    assert len(asyncio.run(life())) == 2


def test_between_two_attempts_nobody_else_gets_the_uid_that_owns_out(job_image: str, tmp_path: Path) -> None:
    """A volume's owner is an option of its mount, for good: with another uid the next attempt could not write there."""
    bench = Bench(DockerRunner(tmp_path / "state", disks=VolumeDisks), job_image, tmp_path / "work")
    told = "import os; open('/out/x', 'a').write('x'); print(os.getuid(), open('/out/x').read())"

    async def life() -> list[list[str]]:
        logs = [(await bench.run(bench.spec(told)))[1]]
        wanted = int(logs[0][0].split()[0])
        rival = next(name for name in (f"rival-{n}" for n in itertools.count()) if free_uid(name, ()) == wanted)
        handle = await bench.runner.start(bench.spec("import os, time; print(os.getuid()); time.sleep(60)", job=rival))
        logs.append([await anext(bench.runner.logs(handle))])
        logs.append((await bench.run(bench.spec(told, attempt="2")))[1])
        return logs

    try:
        first, (other,), second = asyncio.run(life())
    finally:
        asyncio.run(bench.clear())
    owner = first[0].split()[0]
    assert first == [f"{owner} x"] and second == [f"{owner} xx"] and other != owner


def test_a_job_counts_the_cores_it_was_granted_and_no_others(bench: Bench) -> None:
    """Issue 5 item 8: `nproc`, `os.sched_getaffinity` and the grant agree."""
    program = "import os, subprocess; print(len(os.sched_getaffinity(0)), subprocess.getoutput('nproc'))"
    for cpus in {1, len(os.sched_getaffinity(0))}:
        _, log = asyncio.run(bench.run(bench.spec(program, limits=replace(SMALL, cpus=cpus))))
        assert log == [f"{cpus} {cpus}"]


NODE = """
    import asyncio, sys
    sys.path.insert(0, {root!r})
    from pathlib import Path
    from tests.sandbox_jobs import Bench
    from heldout.market.sandbox import open_runner

    PROGRAM = '''
        import os, pathlib, time
        folder = pathlib.Path("/out/checkpoint"); folder.mkdir(exist_ok=True)
        for step in range(40):
            (folder / "new").write_text(str(step)); (folder / "new").rename(folder / "step")
            print(step, flush=True)
            time.sleep(0.1)
        pathlib.Path("/out/weights.safetensors").write_bytes(b"trained")
    '''

    async def main():
        bench = Bench(open_runner("docker", Path({state!r}), chain_id=1), {image!r}, Path({work!r}))
        handle = await bench.runner.start(bench.spec(PROGRAM, job="long"))
        await bench.runner.start(bench.spec("import time; time.sleep(600)", job="stray"))
        async for line in bench.runner.logs(handle):
            print(line, flush=True)

    asyncio.run(main())
"""


def test_a_node_killed_in_mid_training_picks_the_same_container_up_again(bench: Bench, tmp_path: Path) -> None:
    """Threat rows 40 and 60, P11d: kill -9, then a new process over the same folder."""
    places = {"state": str(tmp_path / "state"), "work": str(tmp_path / "work"), "image": bench.image}
    program = textwrap.dedent(NODE).format(root=str(Path(__file__).parents[2]), **places)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        assert node.stdout.readline() == "0\n"
        node.send_signal(signal.SIGKILL)
    bench.jobs |= {"long", "stray"}

    async def restart() -> tuple[RunReport, list[str], bytes]:
        (adopted,) = await bench.runner.reconcile(["long"])
        log = [line async for line in bench.runner.logs(adopted)]
        report = await bench.runner.wait(adopted)
        return report, log, (await bench.runner.collect(adopted)).path.read_bytes()

    report, log, weights = asyncio.run(restart())
    assert report.ok and weights == b"trained"
    assert log == [str(step) for step in range(40)]  # nothing lost, nothing repeated
    assert not any("stray" in line for line in mounts_below(tmp_path))
    assert "stray" not in docker("ps", "--all", "--format", "{{.Names}}")
    assert not (tmp_path / "state" / "disks" / "stray.img").exists()


def test_a_disk_left_mounted_by_a_crash_is_reused_not_overwritten(bench: Bench) -> None:
    """Measured in the field: mkfs on a mounted image was the first thing a restarted runner tripped over."""
    asyncio.run(bench.run(bench.spec("open('/out/checkpoint', 'w').write('half way')")))
    bench.runner = open_runner("docker", bench.folder.parent / "state", chain_id=1)
    _, log = asyncio.run(bench.run(bench.spec("print(open('/out/checkpoint').read())", attempt="2")))
    assert log == ["half way"]


def test_a_container_removed_by_hand_is_a_lost_attempt(bench: Bench) -> None:
    async def life() -> None:
        handle = await bench.runner.start(bench.spec("import time; time.sleep(60)"))
        docker("rm", "--force", handle.ref)
        with pytest.raises(AttemptLost) as lost:
            await bench.runner.wait(handle)
        assert lost.value.code == "attempt_lost" and lost.value.retryable

    asyncio.run(life())


@pytest.mark.parametrize("step_s", [3600.0, -3600.0], ids=["forward", "back"])
def test_a_clock_that_is_set_in_mid_job_kills_nobody_and_saves_nobody(
    step_s: float, job_image: str, tmp_path: Path
) -> None:
    """Threat 55. The engine stamps by its own clock; this node's is set by an hour while both jobs run, and the node
    that adopts them after a restart has the new time as well."""
    off_s = 0.0

    def open_bench() -> DockerRunner:
        return DockerRunner(tmp_path / "state", clock=lambda: time.time() + off_s)

    bench = Bench(open_bench(), job_image, tmp_path / "work")
    endless = bench.spec("while True: pass", job="endless", limits=replace(SMALL, seconds=6))
    until_told = """
        import os, time
        while not os.path.exists("/in/task/go"):
            time.sleep(0.1)
    """

    async def life() -> tuple[RunReport, RunReport]:
        nonlocal off_s
        spec = bench.spec(until_told, job="honest")
        honest = await bench.runner.start(spec)
        late = await bench.runner.start(endless)
        off_s = step_s
        reborn = open_bench()
        assert {found.job for found in await reborn.reconcile(["honest", "endless"])} == {"honest", "endless"}
        assert "honest" in {found.job for found in await reborn.running()}
        (spec.task_dir / "go").touch()
        return await bench.runner.wait(honest), await reborn.wait(late)

    try:
        honest, late = asyncio.run(life())
    finally:
        asyncio.run(bench.clear())
    assert honest.ok and 0 < honest.wall_s < SMALL.seconds
    assert late.killed_by == "deadline" and 5.5 < late.wall_s < 600 and late.excess[0].allowed == 6


def test_an_image_that_is_not_here_is_named_in_the_refusal(bench: Bench) -> None:
    bench.image = "sha256:" + "ab" * 32
    assert not asyncio.run(bench.runner.has_image(bench.image))
    with pytest.raises(ImageRefused, match="abab"):
        asyncio.run(bench.runner.start(bench.spec("pass")))


def test_without_an_engine_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 2, bad input: a clear error with a code and a hint."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(SandboxUnavailable) as missing:
        asyncio.run(open_runner("docker", tmp_path / "state", chain_id=1).check())
    assert missing.value.code == "sandbox_unavailable" and "docker info" in missing.value.hint


@pytest.mark.deep
def test_sixty_jobs_leave_no_trace(bench: Bench, tmp_path: Path) -> None:
    """P11d and threat row 62, in small: no container, mount, loop device, file, thread or descriptor stays."""

    async def life(number: int) -> None:
        program = "import sys; open('/out/weights.safetensors', 'w').write('x'); sys.exit(int(sys.argv[0] == ''))"
        handle = await bench.runner.start(bench.spec(program, job=f"job-{number}"))
        assert (await bench.runner.wait(handle)).ok
        await bench.runner.collect(handle)
        await bench.runner.discard(handle.job)

    for number in range(60):
        if number == 20:  # by now the SDK's pool of connections has its full size
            descriptors = len(os.listdir("/proc/self/fd"))
        asyncio.run(life(number))
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    assert mounts_below(tmp_path) == [] and str(tmp_path) not in subprocess.getoutput("losetup --all")
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []
    time.sleep(0.5)
    mine = f"label=heldout.node={node_label(tmp_path / 'state')}"  # other tests run on this engine as well
    assert docker("ps", "--all", "--quiet", "--filter", mine) == ""
