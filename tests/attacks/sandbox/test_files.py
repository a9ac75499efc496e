"""Jobs that write where they must not, run what they dropped, or leave traps. Threat rows 59 and 66."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from heldout.market.sandbox import OutputRefused, RunReport
from tests.sandbox_jobs import Bench

pytestmark = [pytest.mark.attack, pytest.mark.docker]
Attack = Callable[..., tuple[RunReport, list[str]]]


@pytest.mark.parametrize("path", ["/fill", "/usr/bin/python3", "/etc/passwd", "/in/task/main.py", "/in/data/more"])
def test_root_and_inputs_are_read_only(attack: Attack, path: str) -> None:
    """Cases 5 and 11."""
    _, log = attack(f"print(tried(lambda: open('{path}', 'ab').write(b'x')))")
    assert log in (["EROFS"], ["EACCES"])


@pytest.mark.parametrize("place", ["/tmp", "/scratch", "/dev/shm", "/out"])
def test_a_dropped_program_cannot_be_run(attack: Attack, place: str) -> None:
    """Case 37."""
    _, log = attack(f"""
import shutil, subprocess
shutil.copy("/bin/true", "{place}/dropped")
os.chmod("{place}/dropped", 0o6755)
print(tried(lambda: subprocess.run(["{place}/dropped"])))
""")
    assert log == ["EACCES"]


def test_no_pipe_or_device_can_be_left_behind(attack: Attack) -> None:
    """Case 35."""
    _, log = attack("""
print(tried(lambda: os.mkfifo("/out/weights.safetensors")))
print(tried(lambda: os.mknod("/out/disk", 0o60600, os.makedev(8, 0))))
""")
    assert log == ["EPERM", "EPERM"]


TRAPS = {
    "a link to a secret of the host": "os.symlink('/etc/shadow', weights)",
    "a link to an input": "os.symlink('/in/data/shard-00.safetensors', weights)",
    "a link to itself": "os.symlink('weights.safetensors', weights)",
    "a folder": "os.mkdir(weights)",
    "a socket": "socket.socket(socket.AF_UNIX).bind(weights)",
    "a sparse terabyte": "os.truncate(os.open(weights, os.O_CREAT | os.O_RDWR), 12 << 20)",
}


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS.keys())
def test_a_trap_under_the_agreed_name_is_refused_unread(bench: Bench, trap: str) -> None:
    """Cases 38 to 40."""
    program = f"import os, socket\nweights = '/out/weights.safetensors'\n{trap}"

    async def life() -> None:
        handle = await bench.runner.start(bench.spec(program))
        assert (await bench.runner.wait(handle)).ok
        with pytest.raises(OutputRefused):
            await bench.runner.collect(handle, max_bytes=8 << 20)

    asyncio.run(life())


def test_a_hard_link_out_of_the_job_cannot_be_made(attack: Attack) -> None:
    """Case 39."""
    _, log = attack("print(tried(lambda: os.link('/in/data/shard-00.safetensors', '/out/weights.safetensors')))")
    assert log in (["EXDEV"], ["EPERM"])


def test_a_labyrinth_in_out_is_cleared_away(bench: Bench, tmp_path: object) -> None:
    """Case 40: names with newlines and escapes, a tree 300 deep, folders that are shut."""
    program = """
import os
open("/out/\\n\\x1b[2J", "w").close()
open("/out/" + "x" * 255, "w").close()
os.chdir("/out")
for _ in range(300):
    os.mkdir("d"); os.chdir("d")
os.chmod(".", 0)
"""

    async def life() -> None:
        handle = await bench.runner.start(bench.spec(program))
        assert (await bench.runner.wait(handle)).ok
        await bench.runner.discard("job-1")

    asyncio.run(life())
    assert list((bench.folder.parent / "state" / "out").iterdir()) == []
