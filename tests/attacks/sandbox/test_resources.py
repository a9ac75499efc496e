"""Jobs that try to use up the machine. Threat rows 58 and 60; the numbers are those of the 44 hostile cases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from heldout.market.sandbox import RunReport
from tests.sandbox_jobs import MIB, SMALL

pytestmark = [pytest.mark.attack, pytest.mark.docker]
Attack = Callable[..., tuple[RunReport, list[str]]]


def test_a_fork_bomb_stops_at_the_limit(attack: Attack) -> None:
    """Case 1."""
    _, log = attack("""
born = 0
try:
    while born < 1000:
        if os.fork() == 0:
            time.sleep(30)
        born += 1
except OSError as error:
    print(errno.errorcode[error.errno], born)
os._exit(0)
""")
    code, born = log[0].split()
    assert code == "EAGAIN" and int(born) < SMALL.pids


def test_a_memory_bomb_kills_the_job_and_nothing_else(attack: Attack) -> None:
    """Case 3."""
    report, log = attack(
        "print('start', flush=True)\nheap = [bytes(1 << 20) * 64 for _ in range(64)]\nprint('survived')"
    )
    assert log == ["start"]
    assert (report.killed_by, report.exit_code, report.peak_memory) == ("memory", 137, SMALL.memory_bytes)


def test_memory_files_count_as_memory(attack: Attack) -> None:
    """Cases 6 to 8: scratch space is no way around the memory limit."""
    limits = replace(SMALL, memory_bytes=64 * MIB, scratch_bytes=256 * MIB)
    report, _ = attack("[open(f'/scratch/{n}', 'wb').write(bytes(8 << 20)) for n in range(20)]", limits)
    assert not report.ok and report.killed_by == "memory"


def test_a_daemon_dies_with_its_job(attack: Attack) -> None:
    """Case 4."""
    before = time.monotonic()
    report, _ = attack("""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(50)
    os._exit(0)
""")
    assert report.ok and time.monotonic() - before < 30


@pytest.mark.parametrize("place", ["/tmp", "/scratch", "/dev/shm"])
def test_memory_backed_places_have_an_end(attack: Attack, place: str) -> None:
    """Cases 6 to 8."""
    _, log = attack(
        f"print(tried(lambda: open('{place}/fill', 'wb', 0).writelines(bytes(1 << 20) for _ in range(80))))"
    )
    assert log in (["ENOSPC"], ["EFBIG"])


def test_one_big_file_and_many_small_ones_both_hit_the_quota(attack: Attack) -> None:
    """Cases 9, 10 and 13."""
    _, log = attack("""
print(tried(lambda: open('/out/big', 'wb', 0).writelines(bytes(1 << 20) for _ in range(40))))
os.unlink('/out/big')
print(tried(lambda: [open(f'/out/part-{n}', 'wb', 0).write(bytes(1 << 20)) for n in range(40)] and None))
for name in os.listdir('/out'): os.unlink(f'/out/{name}')
print(tried(lambda: [open(f'/out/empty-{n}', 'wb').close() for n in range(4000)] and None))
""")
    assert log[0] in ("EFBIG", "ENOSPC")
    # A short write says ENOSPC at the next file, as on any full disk.
    assert log[1:] == ["ENOSPC", "ENOSPC"]


def test_a_flood_of_inodes_in_tmp_has_an_end(attack: Attack) -> None:
    """Case 12."""
    _, log = attack("print(tried(lambda: [open(f'/tmp/empty-{n}', 'wb').close() for n in range(9000)] and None))")
    assert log == ["ENOSPC"]


def test_a_busy_loop_ends_though_no_node_watches(attack: Attack) -> None:
    """Case 15 without anybody to enforce the deadline: the kernel's CPU limit ends the loop."""
    limits = replace(SMALL, seconds=3600)
    _, log = attack("import resource; print(resource.getrlimit(resource.RLIMIT_CPU))", limits)
    assert log == ["(3601, 3601)"]


def test_cores_beyond_the_share_are_not_used(attack: Attack) -> None:
    """CPU time stays within the share, whatever the number of threads."""
    _, log = attack(
        """
started, cpu = time.monotonic(), 0.0
children = [os.fork() for _ in range(2)]
while time.monotonic() - started < 3: pass
if 0 not in children:
    for _ in children: os.wait()
    used = os.times()
    print((used.user + used.children_user) / (time.monotonic() - started))
""",
        replace(SMALL, cpus=0.5),
    )
    assert float(log[0]) < 0.75
