"""An engine's own words: tiers, versions, known escapes; places and devices for attempts. Issue 5 items 2 to 4, 8."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from heldout.market.sandbox import STANDARD, STRICT, Excess, Limits, SandboxRefused, SandboxUnavailable
from heldout.market.sandbox.accelerators import Cuda, Vulkan, find_accelerator
from heldout.market.sandbox.escapes import ESCAPES, State, mended_by_distribution, notices
from heldout.market.sandbox.meter import Ending, Meter, Room, excesses
from heldout.market.sandbox.places import UIDS, free_uid, pick_cores, pick_devices
from heldout.market.sandbox.runtimes import engine_facts
from heldout.provider.sandboxing import offered_tiers

VERSION: dict[str, Any] = {
    "Components": [{"Name": "Engine", "Version": "20.10.24"}, {"Name": "runc", "Version": "1.1.5+ds1"}]
}


ROOTLESS = {"SecurityOptions": ["name=rootless"], "CgroupVersion": "2", "CgroupDriver": "systemd"}


def facts_of(runtimes: dict[str, Any], default: str = "runc") -> Any:
    return engine_facts({"Runtimes": runtimes, "DefaultRuntime": default, "NCPU": 2}, VERSION)


def runsc(*arguments: str, path: str = "/usr/bin/runsc") -> dict[str, Any]:
    return {"runc": {"path": "runc"}, "gvisor": {"path": path, "runtimeArgs": list(arguments)}}


def test_strict_is_gvisor_by_whatever_name_it_has() -> None:
    assert facts_of(runsc("--platform=systrap", "--network=none")).runtimes == {STANDARD: "runc", STRICT: "gvisor"}


@pytest.mark.parametrize(
    ("runtimes", "word"),
    [
        ({"runc": {"path": "runc"}}, "install gVisor"),
        (runsc("--platform=kvm", "--network=none"), "kvm"),
        (runsc("--platform=ptrace"), "--network=none"),
    ],
)
def test_a_runsc_that_is_absent_or_unfit_is_not_offered_and_the_reason_is_told(
    runtimes: dict[str, Any], word: str
) -> None:
    facts = facts_of(runtimes)
    assert facts.runtimes == {STANDARD: "runc"} and word in facts.missing[STRICT]


def test_podman_is_known_by_its_version_and_gives_no_strict_tier() -> None:
    facts = engine_facts(
        {"Runtimes": {"runsc": {"path": "/usr/bin/runsc"}}},
        {"Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]},
    )
    assert facts.kind == "podman" and STRICT in facts.missing and facts.versions == {"podman": "4.3.1"}


def test_a_rootless_engine_says_so() -> None:
    facts = engine_facts({"SecurityOptions": ["name=seccomp", "name=rootless"], "CgroupVersion": "2"}, VERSION)
    assert facts.rootless and facts.cgroup == "2" and "rootless" in facts.describe()


def no_log(component: str, version: str) -> None:
    return None


@pytest.mark.parametrize(
    "info",
    [
        {"Rootless": True, "CgroupVersion": "1", "MemoryLimit": True, "PidsLimit": True},  # Podman 4.3, word for word
        {"SecurityOptions": ["name=rootless"], "CgroupVersion": "1"},
        {**ROOTLESS, "PidsLimit": False},
        {**ROOTLESS, "CPUSet": False, "NCPU": 2},  # Docker 20.10, with what Debian 12 delegates
        {**ROOTLESS, "CgroupDriver": "none"},
        {**ROOTLESS, "CgroupDriver": "cgroupfs"},  # Podman 4.3 without systemd, which says that it has every controller
        {"CgroupVersion": "2", "MemoryLimit": False},
    ],
)
def test_an_engine_that_cannot_limit_gives_no_tier_and_says_why(info: dict[str, object]) -> None:
    """Issue 5 item 3: what a runtime cannot limit is not offered, on a devnet either."""
    facts = engine_facts({"DefaultRuntime": "crun", **info}, VERSION)
    assert not facts.runtimes and facts.missing.keys() == {"standard", STRICT}
    assert all("limit" in why for why in facts.missing.values())
    for devnet in (True, False):
        assert offered_tiers(None, facts, devnet=devnet) == frozenset()


def test_a_rootless_engine_whose_controllers_are_delegated_gives_the_standard_tier() -> None:
    facts = engine_facts({**ROOTLESS, "MemoryLimit": True, "DefaultRuntime": "runc"}, VERSION)
    assert facts.rootless and facts.freezes and set(facts.runtimes) == {"standard"}


@pytest.mark.parametrize(
    ("controllers", "lacking"),
    [(["cpuset", "cpu", "io", "memory", "pids"], ""), (["cpu", "memory", "pids"], "cores"), ([], "CPU time and cores")],
)
def test_what_podman_limits_is_read_from_its_controllers(controllers: list[str], lacking: str) -> None:
    """Its /info denies on cgroup v2, as root too, what it then limits: Podman 4.3, word for word."""
    info = {"CgroupVersion": "2", "CgroupDriver": "systemd", "CpuCfsQuota": False, "CPUSet": False, "NCPU": 2}
    for rootless in (True, False):
        facts = engine_facts({**info, "Rootless": rootless, "DefaultRuntime": "crun"}, VERSION, controllers)
        assert lacking in facts.missing.get(STANDARD, "") and set(facts.runtimes) == (set() if lacking else {STANDARD})


def test_of_one_core_there_is_nothing_to_choose() -> None:
    """A kernel for one core has no cpuset: Docker on Debian's user-mode-linux 6.1, word for word."""
    facts = engine_facts({"NCPU": 1, "CPUSet": False, "CgroupVersion": "2", "DefaultRuntime": "runc"}, VERSION)
    assert facts.runtimes == {STANDARD: "runc"} and not facts.pins_cores


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("1.1.5", State.OPEN),
        ("1.1.5+ds1", State.UNKNOWN),
        ("1.1.5-0ubuntu1~22.04.2", State.UNKNOWN),
        ("1.1.11", State.OPEN),
        ("1.1.12", State.MENDED),
        ("1.2.0", State.MENDED),
        ("v1.3.0-rc.1", State.MENDED),
    ],
)
def test_a_version_is_open_to_an_escape_until_its_own_line_was_mended(version: str, state: State) -> None:
    """A distribution's build without its change log may hold the fix or not: neither is claimed."""
    found = {notice.escape.cve: notice for notice in notices({"runc": version}, no_log)}
    assert found["CVE-2024-21626"].state is state
    assert ("cannot be told" in found["CVE-2024-21626"].describe()) is (state is State.UNKNOWN)


@pytest.mark.parametrize(
    ("version", "is_open"),
    [
        ("1.2.7", True),
        ("1.2.8", False),
        ("1.3.2", True),
        ("1.1.99", True),
        ("1.4.0-rc.2", True),
        ("1.4.0-rc.3", False),
        ("1.4.0", False),
    ],
)
def test_a_fix_in_one_line_does_not_mend_an_older_one_nor_an_earlier_candidate(version: str, is_open: bool) -> None:
    found = {notice.escape.cve: notice.state is State.OPEN for notice in notices({"runc": version}, no_log)}
    assert found["CVE-2025-31133"] is is_open


def test_what_a_distribution_mended_counts_as_mended_in_that_very_build(tmp_path: Path) -> None:
    (tmp_path / "runc").mkdir()
    log = gzip.compress(b"runc (1.1.5+ds1-1+deb12u1)\n  * CVE-2024-21626: several container breakouts")
    (tmp_path / "runc" / "changelog.Debian.gz").write_bytes(log)
    assert mended_by_distribution("runc", "1.1.5+ds1", tmp_path) == {"CVE-2024-21626"}
    assert mended_by_distribution("runc", "1.1.4+ds1", tmp_path) is None, "another runc runs than is installed"
    assert mended_by_distribution("crun", "1.8.1", tmp_path) is None
    found = {n.escape.cve: n for n in notices({"runc": "1.1.5+ds1"}, partial(mended_by_distribution, docs=tmp_path))}
    assert found["CVE-2024-21626"].state is State.MENDED and found["CVE-2024-45310"].state is State.OPEN
    assert "in its way" in found["CVE-2024-45310"].describe()


def test_the_table_of_escapes_is_dated_and_in_plain_words() -> None:
    assert len({escape.cve for escape in ESCAPES}) == len(ESCAPES) >= 12
    assert all(escape.published[:4].isdigit() and escape.what and escape.here and escape.fixed for escape in ESCAPES)


def test_a_job_keeps_its_uid_unless_a_running_job_has_it() -> None:
    first = free_uid("job", set())
    assert first == free_uid("job", set()) and first in UIDS
    assert free_uid("job", {first}) != first
    with pytest.raises(SandboxRefused):
        free_uid("job", set(UIDS))


def test_cores_go_to_whoever_has_fewest_neighbours() -> None:
    assert pick_cores([0, 1, 2, 3], [0, 0, 1], 2) == (2, 3)
    assert pick_cores([0, 1], [0, 1, 0], 0.5) == (1,)
    with pytest.raises(SandboxRefused, match="3 cores"):
        pick_cores([0, 1], [], 2.5)


def test_a_device_is_never_granted_twice() -> None:
    assert pick_devices(["a", "b", "c"], {"b"}, 2) == ("a", "c")
    assert pick_devices([], set(), 0) == ()
    with pytest.raises(SandboxRefused, match="1 of 2 are free"):
        pick_devices(["a", "b"], {"a"}, 2)


def test_the_plug_ins_that_ship_are_found_by_name() -> None:
    assert isinstance(find_accelerator("cuda"), Cuda) and isinstance(find_accelerator("vulkan"), Vulkan)
    assert find_accelerator("").devices() == ()
    with pytest.raises(SandboxUnavailable, match="rocm"):
        find_accelerator("rocm")


def test_cuda_asks_the_engine_for_just_the_devices_chosen() -> None:
    (request,) = Cuda().grant(["GPU-1", "GPU-3"]).requests
    assert request["device_ids"] == ["GPU-1", "GPU-3"] and request["driver"] == "nvidia" and "count" not in request


def test_vulkan_shows_render_nodes_and_joins_their_group(tmp_path: Path) -> None:
    (tmp_path / "renderD128").touch()
    (tmp_path / "card0").touch()
    (device,) = Vulkan(tmp_path).devices()
    grant = Vulkan(tmp_path).grant([device.id])
    assert grant.devices == [f"{tmp_path}/renderD128:{tmp_path}/renderD128:rw"]
    assert grant.groups == [(tmp_path / "renderD128").stat().st_gid]


END = Ending(None, 1.0, 10.0, 0.5, 100, Room(0))


def test_every_limit_that_was_met_is_named_the_killer_first() -> None:
    """Issue 5 item 4."""
    limits, meter = Limits(pids=8, stdout_bytes=50, disk_bytes=1000, disk_files=3, seconds=10), Meter()
    meter.peak_pids, meter.peak_memory, meter.memory_refused = 8, 3 << 30, 7
    end = Ending("memory", 12.5, 10.0, 0.5, 80, Room(1000, 3, True, True))
    found = excesses(limits, meter, end)
    assert [each.limit for each in found] == [
        "memory",
        "stdout",
        "output bytes",
        "output files",
        "processes and threads",
    ]
    assert found[0].refused == 7 and found[0].over == (3 << 30) - limits.memory_bytes and found[1].over == 30


def test_an_excess_is_told_in_words() -> None:
    assert Excess("time", 10, 12.34, "s").describe() == "time: 12.3 s of 10.0 s allowed, 2.3 s over"
    assert (
        Excess("memory", 1 << 20, 1 << 20, "B", 3).describe()
        == "memory: 1.0 MiB of 1.0 MiB allowed, refused more 3 times"
    )
    assert excesses(Limits(), Meter(), END) == ()
