"""Ways out of containers that are known, and whether this machine's engine is open to them.

As of AS_OF, from the advisories and release notes of runc, containerd, Docker and crun, and incomplete as every such
list: no entry is no proof. A distribution mends old versions without renumbering them, and says so in its package's
change log. If that lies on this machine and is of the very version that runs, a number found there counts as mended;
without it nothing can be told of a distribution's build, and that is what is said.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path

AS_OF = "2026-11-29"
_DISTRIBUTION = re.compile(r"[+~](ds|dfsg|deb)|ubuntu|\.(el|fc)\d")
_CHANGELOGS = {
    "runc": "runc",
    "containerd": "containerd",
    "docker": "docker.io",
    "engine": "docker.io",
    "crun": "crun",
    "podman": "podman",
}


@dataclass(frozen=True, slots=True)
class Escape:
    """`fixed` has the first mended version of every line that was mended, newest line last."""

    cve: str
    component: str
    published: str
    fixed: tuple[str, ...]
    what: str
    here: str
    """What of our profile stands in its way, if it is open."""


_NOT_ROOT = "jobs are not root and have no capability"
_NO_BUILD = "nodes build no stranger's image, and load archives of one image only"
_NO_MOUNTS = "a job chooses no mount"
ESCAPES = (
    Escape("CVE-2019-5736", "runc", "2019-02-11", ("1.0.0-rc7",), "overwrites runc through /proc/self/exe", _NOT_ROOT),
    Escape("CVE-2021-30465", "runc", "2021-05-19", ("1.0.0-rc95",), "exchanges a mount target for a link", _NO_MOUNTS),
    Escape("CVE-2022-29162", "runc", "2022-05-11", ("1.1.2",), "inherits capabilities", _NOT_ROOT),
    Escape("CVE-2023-27561", "runc", "2023-03-29", ("1.1.5",), "mounts over /proc by a link", _NO_MOUNTS),
    Escape(
        "CVE-2024-21626", "runc", "2024-01-31", ("1.1.12",), "starts in a host directory left open", "WORKDIR is ours"
    ),
    Escape("CVE-2024-45310", "runc", "2024-09-03", ("1.1.14",), "makes empty files on the host", _NO_MOUNTS),
    Escape(
        "CVE-2025-31133",
        "runc",
        "2025-11-05",
        ("1.2.8", "1.3.3", "1.4.0-rc.3"),
        "unmasks /proc by exchanging /dev/null",
        "nothing else starts in the same container, and its user may write to no setting",
    ),
    Escape(
        "CVE-2025-52565",
        "runc",
        "2025-11-05",
        ("1.2.8", "1.3.3", "1.4.0-rc.3"),
        "mounts over /dev/console",
        "jobs have no terminal",
    ),
    Escape(
        "CVE-2025-52881",
        "runc",
        "2025-11-05",
        ("1.2.8", "1.3.3", "1.4.0-rc.3"),
        "redirects runc's own writes to /proc",
        "a job chooses no mount and starts no second container beside it",
    ),
    Escape(
        "CVE-2026-41579",
        "runc",
        "2026-07-01",
        ("1.3.6", "1.4.3", "1.5.0-rc.3"),
        "writes a little through a link at /dev",
        "none, but its authors hold it too limited to be of use",
    ),
    Escape(
        "CVE-2026-119101",
        "runc",
        "2026-11-12",
        ("1.3.7", "1.5.3"),
        "mounts host folders when a container is restored",
        "nodes freeze containers, and never dump and restore them",
    ),
    Escape("CVE-2022-27650", "crun", "2022-03-25", ("1.4.4",), "inherits capabilities", _NOT_ROOT),
    Escape(
        "CVE-2020-15257", "containerd", "2020-11-30", ("1.3.9", "1.4.3"), "talks to a shim's socket", "no host network"
    ),
    Escape(
        "CVE-2022-23648", "containerd", "2022-03-02", ("1.4.13", "1.5.10", "1.6.1"), "reads host files", "no VOLUME"
    ),
    Escape(
        "CVE-2024-40635", "containerd", "2025-03-17", ("1.6.38", "1.7.27"), "USER overflows to root", "USER is ours"
    ),
    Escape(
        "CVE-2019-14271", "docker", "2019-07-29", ("19.03.1",), "loads a library in docker cp", "no copy from live jobs"
    ),
    Escape(
        "CVE-2024-41110",
        "docker",
        "2024-07-23",
        ("20.10.28", "23.0.15", "24.0.10", "25.0.6", "26.0.3", "26.1.5", "27.1.1"),
        "passes AuthZ plug-ins with an empty body",
        "jobs reach no engine",
    ),
    Escape(
        "CVE-2026-34040",
        "docker",
        "2026-03-31",
        ("29.3.1",),
        "passes AuthZ plug-ins with a large body",
        "jobs reach no engine",
    ),
    Escape("CVE-2024-23651", "docker", "2024-01-31", ("24.0.9", "25.0.2"), "mounts host files in a build", _NO_BUILD),
)


class State(StrEnum):
    MENDED = "mended"
    OPEN = "open"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Notice:
    """One known escape, held against the version that is here."""

    escape: Escape
    version: str
    state: State

    def describe(self) -> str:
        one = self.escape
        text = f"{one.cve} ({one.published}) {one.what}: {one.component} {self.version} "
        if self.state is State.MENDED:
            return text + "is mended"
        told = "is open to it" if self.state is State.OPEN else "cannot be told, for its change log is not here: it was"
        return text + f"{told}, mended upstream in {' and '.join(one.fixed)}; in its way: {one.here}"


Mended = Callable[[str, str], frozenset[str] | None]


def notices(versions: Mapping[str, str], mended: Mended | None = None) -> list[Notice]:
    """Every known escape of a component that is here. `mended` gives the CVE numbers in the change log of a component's
    build, by name and version; None without one."""
    mended = mended or mended_by_distribution
    known = {"docker": versions.get("engine") or versions.get("docker", ""), **versions}
    logs = {name: mended(name, version) for name, version in known.items() if version}
    return [
        Notice(escape, version, _state(escape, version, logs[escape.component]))
        for escape in ESCAPES
        if (version := known.get(escape.component, ""))
    ]


def _state(escape: Escape, version: str, log: frozenset[str] | None) -> State:
    if _past(version, escape) or (log is not None and escape.cve in log):
        return State.MENDED
    return State.UNKNOWN if log is None and _DISTRIBUTION.search(version) else State.OPEN


def mended_by_distribution(component: str, version: str, docs: Path = Path("/usr/share/doc")) -> frozenset[str] | None:
    """The CVE numbers that the installed Debian package says it mended; None if there is no change log of `version`."""
    log = docs / _CHANGELOGS.get(component, component) / "changelog.Debian.gz"
    try:
        text = gzip.decompress(log.read_bytes()).decode(errors="replace")
    except (OSError, EOFError, gzip.BadGzipFile):
        return None
    newest = re.match(r"\S+ \((?:\d+:)?([^)]*)\)", text)
    if newest is None or not newest[1].startswith(version.removeprefix("v")):
        return None  # of a package that is not what runs
    return frozenset(re.findall(r"CVE-\d{4}-\d+", text))


def _past(version: str, escape: Escape) -> bool:
    """Whether a version is at or past the fix of its own line, or past every line that was mended."""
    here = _numbers(version)
    fixes = sorted(map(_numbers, escape.fixed))
    same_line = [fix for fix in fixes if fix[:2] == here[:2]]
    return here >= (same_line or fixes)[-1]


def _numbers(version: str) -> tuple[float, ...]:
    """Comparable; a release candidate comes before its release."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-~+]?rc\.?(\d+))?", version)
    if not found:
        return (0, 0, 0, 0)
    major, minor, patch, candidate = found.groups()
    return (int(major), int(minor), int(patch or 0), int(candidate) if candidate else inf)
