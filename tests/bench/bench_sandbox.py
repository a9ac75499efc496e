"""What the sandbox costs and what it holds: one training hardened and bare in turn, start, strict tier, hostile suite,
honest jobs, and the memory of a node that waits for work.

Bare is the very same root file system, unpacked and entered with chroot: same interpreter, packages and files, as
many cores and threads, but no namespaces, no seccomp, no quota. That needs root. It takes about 25 minutes on a quiet
machine. HELDOUT_BENCH_PAIRS (10) and HELDOUT_BENCH_SECONDS (60) make it shorter, for a quick look: 1 and 5, three
minutes. How it was measured is printed with each figure.
"""

import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from heldout.devnet.devnet import Devnet
from heldout.market.sandbox import STANDARD, STRICT, Limits, RunSpec
from heldout.market.sandbox.docker import DockerRunner
from heldout.market.sandbox.hostile import load_manifest
from heldout.market.sandbox.hostile.suite import Suite, loopback_target
from heldout.market.sandbox.profile import let_job_read
from tests.bench.figure import report
from tests.bench.resident import IDLE_S, report_resident
from tests.honest_jobs import HONEST, program

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "requester_cli" / "templates" / "digits"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PAIRS = int(os.environ.get("HELDOUT_BENCH_PAIRS", "10"))
SECONDS = float(os.environ.get("HELDOUT_BENCH_SECONDS", "60"))
STRICT_PAIRS = max(1, PAIRS // 3)
STRICT_SHARE = 3
"""The strict tier is slower by a multiple: a third of the training tells as much."""
STARTS = 9
TRIAL_EPOCHS = 20
VARIABLES = {"HELDOUT_SEED": "1", "HELDOUT_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
LIMITS = Limits(cpus=1.0, seconds=1800)


@dataclass(frozen=True)
class Place:
    """The image, unpacked; task and data; a runner."""

    image: str
    root: Path
    work: Path
    runner: DockerRunner

    def spec(self, command: Sequence[str], *, tier: str = STANDARD, limits: Limits = LIMITS) -> RunSpec:
        task, data = self.work / "task", self.work / "data"
        deadline = time.time() + 3600
        return RunSpec("bench", "1", self.image, command, task, data, deadline, limits, VARIABLES, tier)


def unpack(image: str, root: Path, task: Path, data: Path) -> None:
    """The image's files at `root`, with the inputs copied to where the job looks for them."""
    container = subprocess.check_output(["docker", "create", image, "true"], text=True).strip()
    with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
        subprocess.run(["tar", "-x", "-C", str(root)], stdin=export.stdout, check=True)
    subprocess.run(["docker", "rm", container], check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(task, root / "in" / "task", dirs_exist_ok=True)
    shutil.copytree(data, root / "in" / "data", dirs_exist_ok=True)
    let_job_read(root / "in")
    (root / "out").chmod(0o777)


def train(epochs: int) -> list[str]:
    return ["python3", "/in/task/train.py", "--epochs", str(epochs)]


def bare(place: Place, epochs: int) -> float:
    """Wall seconds of the training without a container, on one core."""
    shutil.rmtree(place.root / "out" / "checkpoint", ignore_errors=True)
    variables = {**VARIABLES, "PATH": "/opt/job/bin:/usr/bin:/bin", "HOME": "/tmp"}
    core = str(min(os.sched_getaffinity(0)))
    enter = ["taskset", "-c", core, "/usr/sbin/chroot", "--userspec=65532:65532", str(place.root)]
    started = time.monotonic()
    subprocess.run([*enter, *train(epochs)], env=variables, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def hardened(place: Place, epochs: int, tier: str = STANDARD) -> float:
    """Wall seconds from asking for the container to the end of the job in it."""

    async def life() -> float:
        asked = time.time()
        handle = await place.runner.start(place.spec(train(epochs), tier=tier))
        found = await place.runner.wait(handle)
        if not found.ok:
            raise SystemExit(f"the training failed: {found.describe()}")
        await place.runner.discard("bench")
        return handle.started + found.wall_s - asked

    return asyncio.run(life())


def first_line(place: Place) -> float:
    """Seconds from asking for a container to the first line of a Python program in it."""

    async def life() -> float:
        asked = time.monotonic()
        handle = await place.runner.start(place.spec(["python3", "-c", "print('here')"]))
        await anext(place.runner.logs(handle))
        told = time.monotonic() - asked
        await place.runner.discard("bench")
        return told

    return asyncio.run(life())


def false_alarms(place: Place) -> int:
    """Honest jobs that were ended, or told that they had met a limit."""

    async def hindered(body: str) -> bool:
        handle = await place.runner.start(place.spec(["python3", "-c", program(body)], limits=replace(LIMITS, pids=64)))
        found = await place.runner.wait(handle)
        await place.runner.discard("bench")
        return not found.ok or bool(found.excess)

    return sum(asyncio.run(hindered(body)) for body in HONEST.values())


def contained(place: Place, tier: str) -> tuple[int, int]:
    """Hostile cases that the tier promises to hold: how many it held, and how many there are."""

    async def run() -> list[bool]:
        with loopback_target() as target, place.runner.derived_images() as derive:
            suite = Suite(place.runner, place.image, place.work / "hostile", target, tier, derive=derive)
            promised = load_manifest().tiers[tier]
            return [outcome.held async for outcome in suite.run() if outcome.case.layer in promised]

    held = asyncio.run(run())
    return sum(held), len(held)


def measure_ratios(place: Place) -> None:
    epochs = max(1, round(TRIAL_EPOCHS * SECONDS / bare(place, TRIAL_EPOCHS)))
    pairs = [(hardened(place, epochs), bare(place, epochs)) for _ in range(PAIRS)]
    ratios = sorted(inside / outside for inside, outside in pairs)
    method = f"median of {PAIRS} interleaved pairs, digits for {epochs} epochs on one core, same root file system"
    spread = f"{method}; range {ratios[0]:.3f} to {ratios[-1]:.3f}"
    report("sandbox.wall_ratio", statistics.median(ratios), "ratio", spread)
    report("sandbox.bare_wall_s", statistics.median(outside for _, outside in pairs), "s", method)
    if STRICT in asyncio.run(place.runner.facts()).runtimes:
        epochs = max(1, epochs // STRICT_SHARE)
        slow = [hardened(place, epochs, STRICT) / bare(place, epochs) for _ in range(STRICT_PAIRS)]
        method = f"median of {STRICT_PAIRS} interleaved pairs, gVisor over bare, digits for {epochs} epochs"
        report("sandbox.strict_ratio", statistics.median(slow), "ratio", method)


def measure_idle_node(folder: Path) -> None:
    with Devnet.up(folder, block_time=1, providers=1) as devnet:
        time.sleep(IDLE_S)
        report_resident("provider", "provider-0", devnet.processes.running()["provider-0"])


def main() -> None:
    if os.geteuid() != 0:
        raise SystemExit("bench sandbox: needs root, to enter the image's files without a container")
    image = json.loads((ROOT / ".cache" / "job-image.json").read_text())[ARCHITECTURES[platform.machine()]]
    with tempfile.TemporaryDirectory(prefix="heldout-bench-", dir="/var/tmp") as folder:
        work = Path(folder)
        task, data, root = work / "task", work / "data", work / "root"
        shutil.copytree(TEMPLATE / "task", task, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(
            [sys.executable, str(TEMPLATE / "make_data.py"), str(data)], check=True, stdout=subprocess.DEVNULL
        )
        root.mkdir()
        unpack(image, root, task, data)
        place = Place(image, root, work, DockerRunner(work / "state"))
        bare(place, 1)  # brings the files into the page cache
        starts = sorted(first_line(place) for _ in range(STARTS))
        method = f"median of {STARTS}, asking to first line, Python without torch; fastest {starts[0]:.2f} s"
        report("sandbox.start_s", statistics.median(starts), "s", method)
        for tier in asyncio.run(place.runner.facts()).runtimes:
            held, cases = contained(place, tier)
            name = "sandbox.hostile_contained" + ("" if tier == STANDARD else f".{tier}")
            report(name, held / cases, "share", f"{held} of {cases} cases that the {tier} tier promises to hold")
        report("sandbox.false_alarms", false_alarms(place), "jobs", f"of {len(HONEST)} honest jobs")
        measure_idle_node(work / "devnet")
        measure_ratios(place)


if __name__ == "__main__":
    main()
