"""One look at an image as a provider looks at it: found by its id, and started once under the full profile."""

import asyncio
import tempfile
import time
from pathlib import Path

from heldout.market.sandbox import MIB, Limits, Runner, RunSpec
from heldout.market.sandbox.docker import DockerRunner
from heldout.market.sandbox.engine import address_of
from heldout.market.sandbox.errors import ImageRefused

_PROGRAM = "import sys; print('python %d.%d' % sys.version_info[:2])"
_LIMITS = Limits(memory_bytes=512 * MIB, pids=64, disk_bytes=16 * MIB, disk_files=128, seconds=60)


def try_image(image: str, archive: Path | None, kind: str) -> tuple[str, float]:
    """What Python says in the image, and the seconds it took. Raises ImageRefused, SandboxUnavailable.

    With an `archive` the image is loaded from there first, unless the archive holds another.
    """
    with tempfile.TemporaryDirectory(prefix="heldout-verify-") as name:
        runner = DockerRunner(Path(name) / "state", address=address_of(kind))
        if archive:
            asyncio.run(runner.load_image(archive, image))
        started = time.monotonic()
        return asyncio.run(_try(runner, image, Path(name))), time.monotonic() - started


async def _try(runner: Runner, image: str, folder: Path) -> str:
    task, data = folder / "task", folder / "data"
    for place in (task, data):
        place.mkdir()
    deadline = time.time() + _LIMITS.seconds
    spec = RunSpec("verify", "1", image, ("python3", "-c", _PROGRAM), task, data, deadline, _LIMITS)
    try:
        handle = await runner.start(spec)
        report = await runner.wait(handle)
        lines = [line async for line in runner.logs(handle)]
    finally:
        await runner.discard(spec.job)
    if not report.ok:
        raise ImageRefused(f"python3 does not run in it: {report.describe()}", hint=" | ".join(lines[-3:]))
    return lines[0]
