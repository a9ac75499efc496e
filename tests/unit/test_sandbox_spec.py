"""What a caller may ask of a sandbox, and the parts of the profile that need no engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heldout.market import sandbox
from heldout.market.sandbox import Limits, RunSpec, SandboxRefused, open_runner
from heldout.market.sandbox.accelerators import Grant
from heldout.market.sandbox.places import Place
from heldout.market.sandbox.profile import Setting, container_options

SPEC = RunSpec("job", "1", "sha256:00", ["python3", "x"], Path("task"), Path("data"), 9e9)
SECCOMP = json.loads((Path(sandbox.__file__).parent / "seccomp.json").read_text())


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-rm", "a b", "x" * 81, "é"])
def test_ids_that_would_reach_a_path_or_a_flag_are_refused(name: str) -> None:
    for field in ("job", "attempt"):
        with pytest.raises(SandboxRefused):
            replace(SPEC, **{field: name})


def test_a_job_id_of_the_chain_is_a_fine_name() -> None:
    assert replace(SPEC, job="0x" + "ab" * 32).job.startswith("0x")


@pytest.mark.parametrize("command", [[], [""], ["python3", ""]])
def test_an_empty_command_is_refused(command: list[str]) -> None:
    with pytest.raises(SandboxRefused):
        replace(SPEC, command=command)


@pytest.mark.parametrize("field", ["cpus", "memory_bytes", "pids", "disk_bytes", "seconds"])
def test_limits_are_positive(field: str) -> None:
    with pytest.raises(SandboxRefused, match=field):
        Limits(**{field: 0})


def test_the_caller_cannot_move_the_job_out_of_its_folders() -> None:
    spec = replace(SPEC, env={"HELDOUT_OUT": "/etc", "HELDOUT_SEED": "7"})
    found = spec.variables(inputs="/in", out="/out", scratch="/scratch", tmp="/tmp")
    assert (found["HELDOUT_OUT"], found["HELDOUT_SEED"], found["HOME"]) == ("/out", "7", "/scratch")


def test_an_engine_without_cpuset_is_asked_for_no_cores() -> None:
    """Docker passes over it, Podman starts nothing."""
    image = {"Id": "sha256:00", "Config": {}}
    setting = Setting("node", image, "/out", 9e9, Place(60000, (0,)), "runc", Grant(), pins_cores=False)
    asked = [container_options(SPEC, each)["cpuset_cpus"] for each in (setting, replace(setting, pins_cores=True))]
    assert asked == ["", "0"]


@pytest.mark.parametrize("chain", [1, 10, 11155111])
def test_the_process_runner_refuses_every_chain_but_the_devnet(tmp_path: Path, chain: int) -> None:
    """Issue 2 item 5."""
    with pytest.raises(SandboxRefused, match="isolates nothing"):
        open_runner("process", tmp_path, chain_id=chain)


def test_the_process_runner_says_that_it_isolates_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runner = open_runner("process", tmp_path, chain_id=31337)
    assert not runner.isolates and [record.message for record in caplog.records] == [
        "process runner: isolates nothing, a job can do whatever this user can"
    ]


def test_an_unknown_runner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxRefused, match="lxc"):
        open_runner("lxc", tmp_path, chain_id=1)


def test_the_seccomp_list_allows_by_name_and_refuses_the_rest() -> None:
    allowed = {name for rule in SECCOMP["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert SECCOMP["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {"read", "write", "execve", "futex", "mmap"} <= allowed
    dangerous = "mount ptrace bpf unshare setns keyctl io_uring_setup userfaultfd perf_event_open memfd_create mknodat"
    assert not allowed & set(dangerous.split())


def test_clone_is_masked_by_every_namespace_flag_and_clone3_is_absent() -> None:
    rules = {rule["names"][0]: rule for rule in SECCOMP["syscalls"]}
    namespaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
    (mask,) = rules["clone"]["args"]
    assert (mask["value"], mask["valueTwo"], mask["op"]) == (namespaces, 0, "SCMP_CMP_MASKED_EQ")
    assert (rules["clone3"]["action"], rules["clone3"]["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert rules["socket"]["names"] == ["socket", "socketpair"]
    assert rules["socket"]["args"] == [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
