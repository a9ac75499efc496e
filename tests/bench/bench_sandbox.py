"""What the hardened profile costs: the digits training in a job's container, and bare, in turn.

Bare is the very same root file system, unpacked and entered with chroot: same interpreter, same packages, same files,
but no namespaces, no seccomp, no quota. That needs root.
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
from pathlib import Path

from heldout.market.sandbox import Limits, Runner, RunSpec, open_runner
from heldout.market.sandbox.profile import let_job_read
from tests.bench.figure import report

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "requester_cli" / "templates" / "digits"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PAIRS = 5
EPOCHS = 60
COMMAND = ["python3", "/in/task/train.py", "--epochs", str(EPOCHS)]
VARIABLES = {"HELDOUT_SEED": "1", "HELDOUT_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def unpack(image: str, place: Path, task: Path, data: Path) -> None:
    """The image's files at `place`, with the inputs copied to where the job looks for them."""
    container = subprocess.check_output(["docker", "create", image, "true"], text=True).strip()
    with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
        subprocess.run(["tar", "-x", "-C", str(place)], stdin=export.stdout, check=True)
    subprocess.run(["docker", "rm", container], check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(task, place / "in" / "task", dirs_exist_ok=True)
    shutil.copytree(data, place / "in" / "data", dirs_exist_ok=True)
    let_job_read(place / "in")
    (place / "out").chmod(0o777)


def bare(place: Path) -> float:
    """Wall seconds of the training in `place`."""
    shutil.rmtree(place / "out" / "checkpoint", ignore_errors=True)
    variables = {**VARIABLES, "PATH": "/opt/job/bin:/usr/bin:/bin", "HOME": "/tmp"}
    enter = ["/usr/sbin/chroot", "--userspec=65532:65532", str(place)]
    started = time.monotonic()
    subprocess.run([*enter, *COMMAND], env=variables, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


async def hardened(runner: Runner, spec: RunSpec) -> float:
    """Wall seconds from asking for the container to the end of the job in it."""
    asked = time.time()
    handle = await runner.start(spec)
    found = await runner.wait(handle)
    if not found.ok:
        raise SystemExit(f"the training failed: {found}")
    await runner.discard(spec.job)
    return handle.started + found.wall_s - asked


def main() -> None:
    if os.geteuid() != 0:
        raise SystemExit("bench sandbox: needs root, to enter the image's files without a container")
    image = json.loads((ROOT / ".cache" / "job-image.json").read_text())[ARCHITECTURES[platform.machine()]]
    with tempfile.TemporaryDirectory(prefix="heldout-bench-", dir="/var/tmp") as folder:
        work = Path(folder)
        task, data, place = work / "task", work / "data", work / "root"
        shutil.copytree(TEMPLATE, task, ignore=shutil.ignore_patterns("data", "__pycache__"))
        subprocess.run([sys.executable, str(task / "make_data.py"), str(data)], check=True, stdout=subprocess.DEVNULL)
        place.mkdir()
        unpack(image, place, task, data)
        runner = open_runner("docker", work / "state", chain_id=31337)
        limits = Limits(cpus=1.0, seconds=600)
        spec = RunSpec("bench", "1", image, COMMAND, task, data, time.time() + 3600, limits, VARIABLES)
        bare(place)  # brings the files into the page cache
        pairs = [(asyncio.run(hardened(runner, spec)), bare(place)) for _ in range(PAIRS)]
    method = f"median of {PAIRS} interleaved pairs, digits for {EPOCHS} epochs, same root file system"
    ratios = [inside / outside for inside, outside in pairs]
    spread = f"range {min(ratios):.2f} to {max(ratios):.2f}"
    report("sandbox.wall_ratio", statistics.median(ratios), "ratio", f"{method}; {spread}")
    report("sandbox.bare_wall_s", statistics.median(outside for _, outside in pairs), "s", method)


if __name__ == "__main__":
    main()
