"""Ways out of containers that are known, and whether this machine's engine is open to them.

As of 2026-11-22, from the advisories of runc, containerd, Docker and crun, and incomplete as every such list: no entry
is no proof. A distribution mends old versions without renumbering them, and says so in its package's change log, which
lies on the machine: a number found there counts as mended.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

AS_OF = "2026-11-22"
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
    Escape("CVE-2019-5736", "runc", "2019-02-11", ("1.0.1",), "overwrites runc through /proc/self/exe", _NOT_ROOT),
    Escape("CVE-2021-30465", "runc", "2021-05-19", ("1.0.1",), "exchanges a mount target for a link", _NO_MOUNTS),
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
        ("1.2.8", "1.3.3", "1.4.0"),
        "unmasks /proc by exchanging /dev/null",
        "nothing else starts in the same container, and its user may write to no setting",
    ),
    Escape(
        "CVE-2025-52565",
        "runc",
        "2025-11-05",
        ("1.2.8", "1.3.3", "1.4.0"),
        "mounts over /dev/console",
        "jobs have no terminal",
    ),
    Escape(
        "CVE-2025-52881",
        "runc",
        "2025-11-05",
        ("1.2.8", "1.3.3", "1.4.0"),
        "redirects runc's own writes to /proc",
        "a job chooses no mount and starts no second container beside it",
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
        "CVE-2024-41110", "docker", "2024-07-23", ("23.0.15", "26.1.5", "27.1.1"), "passes AuthZ", "no plug-in used"
    ),
    Escape("CVE-2024-23651", "docker", "2024-01-31", ("24.0.9", "25.0.2"), "mounts host files in a build", _NO_BUILD),
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One known escape, held against the version that is here."""

    escape: Escape
    version: str
    open: bool

    def describe(self) -> str:
        one = self.escape
        text = f"{one.cve} ({one.published}) {one.what}: {one.component} {self.version} "
        if not self.open:
            return text + "is mended"
        return text + f"is open to it, mended since {' and '.join(one.fixed)}; in its way: {one.here}"


def notices(versions: Mapping[str, str], mended: Callable[[str], frozenset[str]] | None = None) -> list[Notice]:
    """Every known escape of a component that is here. `mended` gives the numbers in a package's change log."""
    mended = mended or mended_by_distribution
    known = {"docker": versions.get("engine") or versions.get("docker", ""), **versions}
    return [
        Notice(escape, known[escape.component], not _past(known[escape.component], escape) and not_in_log)
        for escape in ESCAPES
        if known.get(escape.component)
        for not_in_log in (escape.cve not in mended(escape.component),)
    ]


def mended_by_distribution(component: str, docs: Path = Path("/usr/share/doc")) -> frozenset[str]:
    """The CVE numbers that the installed Debian package says it mended."""
    log = docs / _CHANGELOGS.get(component, component) / "changelog.Debian.gz"
    try:
        text = gzip.decompress(log.read_bytes()).decode(errors="replace")
    except (OSError, EOFError, gzip.BadGzipFile):
        return frozenset()
    return frozenset(re.findall(r"CVE-\d{4}-\d+", text))


def _past(version: str, escape: Escape) -> bool:
    """Whether a version is at or past the fix of its own line, or past every line that was mended."""
    here = _numbers(version)
    fixes = sorted(map(_numbers, escape.fixed))
    same_line = [fix for fix in fixes if fix[:2] == here[:2]]
    return here >= (same_line or fixes)[-1]


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)
