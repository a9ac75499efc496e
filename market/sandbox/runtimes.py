"""What the engine is and which kernels a job can be given: parsed from its own words. Pure.

    standard   runc or crun: the host's kernel, behind the whole profile
    strict     gVisor's runsc on its systrap or ptrace platform: a kernel of the job's own, in user space

runsc's kvm platform is never used: it opened /dev/kvm and hung where it was tried. An engine that cannot limit memory,
tasks and CPU gives neither tier, and the hostile suite is not let loose in it: nothing would hold a fork bomb. Rootless
engines on cgroup v1 are such; Podman's says that it can. On cgroup v2 they limit through the user's own systemd, with
the controllers that were delegated to it; there Podman's /info has it wrong both ways, and its other API is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from heldout.market.manifest import STANDARD, TIERS

__all__ = ["STANDARD", "STRICT", "TIERS", "EngineFacts", "engine_facts"]

STRICT = "strict"
_LIMITS = {
    "memory": ("MemoryLimit", "memory"),
    "pids": ("PidsLimit", "tasks"),
    "cpu": ("CpuCfsQuota", "CPU time"),
    "cpuset": ("CPUSet", "cores"),
}
"""By cgroup controller: whether the engine has it, in the words of its /info, and what it limits."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """`runtimes` has the engine's name of the runtime for each tier that can be given; `missing` says why the others
    cannot. `versions` has every component by its lower-case name."""

    kind: str
    rootless: bool
    cgroup: str
    cores: int
    runtimes: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    live_restore: bool = False
    pins_cores: bool = True

    @property
    def freezes(self) -> bool:
        """Whether a running job can be made to stand still."""
        return not (self.rootless and self.cgroup == "1")

    def describe(self) -> str:
        """One line for people."""
        named = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        rootless = "rootless, " if self.rootless else ""
        return f"{self.kind} ({rootless}cgroup v{self.cgroup}): {named}"


def engine_kind(version: Mapping[str, Any]) -> str:
    """From the engine API's /version."""
    names = [str(part.get("Name", "")).lower() for part in version.get("Components") or ()]
    return "podman" if any("podman" in name for name in names) else "docker"


def engine_facts(
    info: Mapping[str, Any], version: Mapping[str, Any], controllers: Collection[str] | None = None
) -> EngineFacts:
    """From the engine API's /info and /version, and from Podman's own account of its cgroup controllers."""
    components = [(str(part.get("Name", "")), str(part.get("Version", ""))) for part in version.get("Components") or ()]
    kind = engine_kind(version)
    strict, why = _strict(kind, info.get("Runtimes") or {})
    standard = str(info.get("DefaultRuntime") or "")
    rootless = bool(info.get("Rootless")) or any("rootless" in str(each) for each in info.get("SecurityOptions") or ())
    cgroup = str(info.get("CgroupVersion") or "1")
    missing = {} if strict else {STRICT: why}
    if "runsc" in standard:
        missing[STANDARD] = f"the engine's default runtime is {standard}"
    if unlimited := _unlimited(info, rootless, cgroup, controllers):
        missing = dict.fromkeys((STANDARD, STRICT), unlimited)
    have = {STANDARD: standard, STRICT: strict}
    return EngineFacts(
        kind=kind,
        rootless=rootless,
        cgroup=cgroup,
        cores=int(info.get("NCPU") or 1),
        runtimes={tier: runtime for tier, runtime in have.items() if tier not in missing},
        missing=missing,
        versions={name.lower().removesuffix(" engine"): number for name, number in components if name and number},
        live_restore=bool(info.get("LiveRestoreEnabled")),
        pins_cores=_has("cpuset", info, controllers),
    )


def _has(controller: str, info: Mapping[str, Any], controllers: Collection[str] | None) -> bool:
    return info.get(_LIMITS[controller][0]) is not False if controllers is None else controller in controllers


def _unlimited(info: Mapping[str, Any], rootless: bool, cgroup: str, controllers: Collection[str] | None) -> str:
    """What this engine cannot limit, as a reason; empty if nothing."""
    if rootless and cgroup == "1":
        return "a rootless engine on cgroup v1 limits neither memory nor tasks nor CPU: boot with cgroup v2"
    if rootless and info.get("CgroupDriver") != "systemd":
        return "a rootless engine limits nothing but through systemd: start it with systemctl --user"
    # Of one core there is nothing to choose, and a kernel for one has no cpuset.
    needed = [controller for controller in _LIMITS if controller != "cpuset" or info.get("NCPU") != 1]
    lacking = [_LIMITS[controller][1] for controller in needed if not _has(controller, info, controllers)]
    hint = "delegate these cgroup controllers to this user (docs/sandbox.md, Without root)"
    return f"the engine cannot limit {' and '.join(lacking)}: {hint}" if lacking else ""


def _strict(kind: str, runtimes: Mapping[str, Any]) -> tuple[str, str]:
    """The engine's name for a runsc that may be used, or why there is none."""
    if kind == "podman":
        return (
            "",
            "Podman takes one runtime for all containers: start its service with --runtime runsc on a node of its own",
        )
    for name, runtime in runtimes.items():
        if PurePosixPath(str(runtime.get("path", ""))).name != "runsc" and name != "runsc":
            continue
        words = " ".join(runtime.get("runtimeArgs") or ())
        if "kvm" in words:
            return "", f"runtime {name} uses gVisor's kvm platform: set --platform=systrap or ptrace"
        if "--network=none" not in words:
            return "", f"runtime {name} lacks --network=none in its runtimeArgs"
        return name, ""
    return "", "the engine knows no runsc: install gVisor (Debian: runsc) and name it in /etc/docker/daemon.json"
