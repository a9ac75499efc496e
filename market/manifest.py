"""What a job runs, without names or URLs: the task manifest whose SHA-256 is on chain (P2.3)."""

import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from heldout.market.errors import BadManifest
from heldout.market.jsontext import canonical_json, read_json

VERSION = 1
MAX_FILES = 256
_EXACT = 2**53
"""Below which a number means the same to every reader of JSON."""
STANDARD = "standard"
TIERS = (STANDARD, "strict")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class TaskFile:
    """One file of the task folder, an artifact of its own."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Resources:
    """What the container is given, and no more."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    gpus: int
    seconds: int
    tier: str = STANDARD
    """Whose kernel the job talks to: the host's, or with `strict` one of its own."""

    @property
    def amounts(self) -> tuple[int, ...]:
        return (self.cpus, self.memory_bytes, self.disk_bytes, self.gpus, self.seconds)


@dataclass(frozen=True)
class Manifest:
    """`image`: image id (`sha256:…`) by platform; `graph`: the ONNX model that names the tensors to be submitted."""

    files: tuple[TaskFile, ...]
    image: dict[str, str]
    command: tuple[str, ...]
    resources: Resources
    graph: TaskFile
    metric: str
    scorer: str

    def encode(self) -> bytes:
        """Canonical JSON; its SHA-256 is the task hash and its artifact id. The standard tier is not written down."""
        raw = asdict(self)
        if self.resources.tier == STANDARD:
            del raw["resources"]["tier"]
        return canonical_json({"version": VERSION, **raw})

    @property
    def task_hash(self) -> bytes:
        return sha256(self.encode()).digest()

    @staticmethod
    def decode(data: bytes) -> "Manifest":
        """Raises BadManifest unless `data` is exactly what `encode` makes of a sound manifest."""
        try:
            raw: dict[str, Any] = read_json(data)
            manifest = Manifest(
                files=tuple(TaskFile(**f) for f in raw["files"]),
                image=dict(raw["image"]),
                command=tuple(raw["command"]),
                resources=Resources(**raw["resources"]),
                graph=TaskFile(**raw["graph"]),
                metric=raw["metric"],
                scorer=raw["scorer"],
            )
            manifest.check()
            canonical = manifest.encode() == bytes(data)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise BadManifest(f"not a task manifest: {problem}") from None
        if not canonical:
            raise BadManifest("a task manifest is not in canonical form")
        return manifest

    def check(self) -> None:
        """Everything a stranger's manifest must satisfy before anybody acts on it. Raises BadManifest."""
        files = (*self.files, self.graph)
        problems = [
            (len(self.files) > MAX_FILES, f"more than {MAX_FILES} files"),
            (any(not _plain(f.path) for f in files), "a path that is not plain and relative"),
            (len({f.path for f in self.files}) != len(self.files), "a path twice"),
            (any(not _HASH.fullmatch(f.sha256) for f in files), "a hash that is not SHA-256"),
            (any(not _natural(f.bytes) for f in files), "a size that is not a number"),
            (not self.image or any(not i.startswith("sha256:") for i in self.image.values()), "no image id"),
            (not self.command or any(not isinstance(w, str) or "\0" in w for w in self.command), "no command"),
            (not all(_natural(value) for value in self.resources.amounts), "a resource that is not a number"),
            (self.resources.tier not in TIERS, "a tier that nobody knows"),
            (not isinstance(self.metric, str) or not isinstance(self.scorer, str), "a metric or scorer without a name"),
        ]
        for wrong, what in problems:
            if wrong:
                raise BadManifest(f"a task manifest has {what}")


def _natural(value: object) -> bool:
    return type(value) is int and 0 <= value < _EXACT


def _plain(path: str) -> bool:
    """A relative POSIX path of ordinary names: nothing that leaves the task folder or hides in a terminal."""
    parts = PurePosixPath(path).parts
    ordinary = all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", part) for part in parts)
    return bool(parts) and ordinary and path == "/".join(parts) and len(parts) <= 8
