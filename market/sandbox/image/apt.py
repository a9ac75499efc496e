"""Which suite and mirror this machine's own apt uses: the base image is made from the same, and neither is ever stored.

Reads both formats of sources.list(5): one line per source, and deb822 stanzas in *.sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")

_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")


@dataclass(frozen=True, slots=True)
class AptSource:
    """One archive: `uri` as debootstrap takes it, `components` such as main or universe, `keyring` a path or empty."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str = ""


def own_source(apt: Path = APT, os_release: Path = OS_RELEASE) -> AptSource | None:
    """The source of this release's main suite, or None on a machine without apt."""
    if not os_release.exists():
        return None
    codename = re.search(r'^VERSION_CODENAME="?([\w.-]+)', os_release.read_text(), re.M)
    fitting = [source for source in sources(apt) if codename and source.suite == codename[1]]
    return next((source for source in fitting if "main" in source.components), None)


def sources(apt: Path) -> Iterator[AptSource]:
    """Every enabled binary source under `apt`, in apt's order of reading."""
    parts = apt / "sources.list.d"
    for file in [apt / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]:
        if file.is_file():
            parse = _deb822 if file.suffix == ".sources" else _one_line
            yield from parse(file.read_text())


def _one_line(text: str) -> Iterator[AptSource]:
    for line in text.splitlines():
        found = _ONE_LINE.match(line.split("#")[0].strip())
        if not found:
            continue
        options = dict(pair.split("=", 1) for pair in (found["options"] or "").split() if "=" in pair)
        yield AptSource(
            _plain(found["uri"]), found["suite"], tuple(found["components"].split()), options.get("signed-by", "")
        )


def _deb822(text: str) -> Iterator[AptSource]:
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if line[:1] not in ("#", "")]
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", "\n".join(lines), re.M))
        kinds = fields.get("Types", "").split()
        if "deb" not in kinds or fields.get("Enabled", "yes").lower() == "no":
            continue
        for uri in fields.get("URIs", "").split():
            for suite in fields.get("Suites", "").split():
                # An inline key block leaves Signed-By empty: debootstrap then uses its own keyring.
                components = tuple(fields.get("Components", "").split())
                yield AptSource(_plain(uri), suite, components, fields.get("Signed-By", "").strip())


def _plain(uri: str) -> str:
    """Cloud images name a list of mirrors (`mirror+file:/path`); debootstrap wants one of them."""
    if uri.startswith("mirror+file:"):
        path = Path("/" + uri.removeprefix("mirror+file:").lstrip("/"))
        first = path.read_text().split() if path.is_file() else []
        return first[0] if first else uri
    return uri
