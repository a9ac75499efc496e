"""A job folder on disk: `job.toml`, what it names, and what was made from it under `.heldout/`.

.heldout/data/data.json      salt, root and sizes of the sealed data
.heldout/data/leaves         the list whose SHA-256 is the data root
.heldout/data/NN.sealed      one sealed shard
.heldout/check.json          what `job check` found, and for which task and data
.heldout/jobs/ID.json        what was posted from here
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from heldout.market.durable import write_whole
from heldout.market.errors import BadInput
from heldout.market.posting import jobfile
from heldout.market.posting.drafting import SealedData
from heldout.market.sealing import decode_leaves
from heldout.market.terms import JobId
from heldout.requester_cli.dataset import Shards, fingerprint

STATE = ".heldout"
_SKIPPED = {STATE, "__pycache__", ".git", jobfile.FILE_NAME}


@dataclass(frozen=True)
class CheckRecord:
    """A passed `job check`. `subject` names exactly what was checked (see `Offer.subject`)."""

    subject: str
    baseline: int
    """Score or code of the baseline, as in a vote."""
    evidence: str
    operations: int


class Project:
    """Reads and writes one job folder. Files appear whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = jobfile.load(folder)
        self._state = self.job.path.parent / STATE

    # -------------------------------------------------------------------------------------------------- task

    def task_files(self) -> dict[str, bytes]:
        """What the provider gets as /in/task, and anybody can read, by path: the task folder without hidden files.

        Raises BadInput for a folder that holds the job file (data and weights lie beside it), and for a link or
        anything else that is not a plain file.
        """
        root, data = self.job.task_dir, self.job.data.resolve()
        if not root.is_dir():
            raise self.job.error("task", "dir", f"there is no folder {root}")
        if self.job.path.resolve().is_relative_to(root.resolve()):
            what = "the task folder holds job.toml itself, and all of a task is PUBLIC: data and weights would be too"
            hint = f'put what providers run into {self.job.path.parent / "task"}, and write dir = "task"'
            raise self.job.error("task", "dir", what, hint=hint, code="public_folder")
        found = {}
        for path in sorted(root.rglob("*")):
            parts = path.relative_to(root).parts
            if any(part in _SKIPPED or part.startswith(".") for part in parts) or path.resolve().is_relative_to(data):
                continue
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BadInput(
                    f"{path} is not a plain file", hint="put a copy into the task folder", code="bad_task_file"
                )
            if path.is_file():
                found["/".join(parts)] = path.read_bytes()
        return found

    def graph(self) -> bytes:
        try:
            return self.job.graph.read_bytes()
        except FileNotFoundError:
            hint = "an ONNX file; the digits template makes one with make_graph.py"
            raise self.job.error("task", "graph", f"there is no graph at {self.job.graph}", hint=hint) from None

    # -------------------------------------------------------------------------------------------------- data

    def data_files(self) -> list[bytes]:
        """The data folder's safetensors files, by name."""
        files = [path.read_bytes() for path in sorted(self.job.data.glob("*.safetensors"))]
        if not files:
            what = f"there is no .safetensors file in {self.job.data}"
            raise self.job.error("data", "path", what, hint="each holds x and y, rows first")
        return files

    def save_shards(self, shards: Shards) -> None:
        folder = self._state / "data"
        for index, sealed in enumerate(shards.sealed):
            write_whole(folder / f"{index:02}.sealed", sealed)
        write_whole(folder / "leaves", shards.leaves)
        about = asdict(shards.about) | {"salt": shards.about.salt.hex(), "root": shards.about.root.hex()}
        write_whole(folder / "data.json", json.dumps(about, indent=2).encode())

    def is_sealed(self) -> bool:
        """Whether what was sealed last is still what the job file asks for."""
        try:
            self.sealed_data()
        except BadInput:
            return False
        return True

    def sealed_data(self) -> SealedData:
        """What was sealed last. Raises BadInput if nothing was, or the job file or the data changed since."""
        hint = "run `heldout data seal`"
        raw = _read_json(self._state / "data" / "data.json", lambda: BadInput("the data is not sealed yet", hint=hint))
        about = SealedData(
            salt=bytes.fromhex(raw["salt"]),
            root=bytes.fromhex(raw["root"]),
            shards=raw["shards"],
            shard_bytes=raw["shard_bytes"],
            rows=tuple(raw["rows"]),
            source=raw["source"],
        )
        if about.shards != self.job.shards:
            raise self.job.error("data", "shards", f"the data is sealed into {about.shards} shards", hint=hint)
        if about.source != fingerprint(self.data_files()):
            raise BadInput("the data has changed since it was sealed", hint=hint, code="data_changed")
        return about

    def shards(self) -> Shards:
        """As `sealed_data`, with the bytes. Raises BadInput for a file that is not what the data root says."""
        about, folder = self.sealed_data(), self._state / "data"
        listed = _read_sealed(folder / "leaves", about.root)
        leaves = decode_leaves(listed, about.shards)
        sealed = (_read_sealed(folder / f"{i:02}.sealed", leaf.sealed_hash) for i, leaf in enumerate(leaves))
        return Shards(about, tuple(sealed), listed)

    # ----------------------------------------------------------------------------------------------- records

    def save_check(self, record: CheckRecord) -> None:
        write_whole(self._state / "check.json", json.dumps(asdict(record), indent=2).encode())

    def check_record(self, subject: str) -> CheckRecord | None:
        """The last check, if it was of exactly this task and data."""
        try:
            record = CheckRecord(**json.loads((self._state / "check.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return record if record.subject == subject else None

    def save_job(self, job: JobId, about: dict[str, Any]) -> None:
        write_whole(self._state / "jobs" / f"{job}.json", json.dumps(about, indent=2).encode())


def latest_job(folder: Path) -> JobId | None:
    """The job posted last from a folder."""
    posted = sorted((folder / STATE / "jobs").glob("0x*.json"), key=lambda path: path.stat().st_mtime_ns)
    return JobId(posted[-1].stem) if posted else None


def _read_sealed(path: Path, digest: bytes) -> bytes:
    data = path.read_bytes() if path.exists() else b""
    if sha256(data).digest() != digest:
        hint = "run `heldout data seal --again`: new keys, a new root"
        raise BadInput(f"{path} is not what was sealed", hint=hint, code="damaged_file")
    return data


def _read_json(path: Path, absent: Callable[[], BadInput]) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise absent() from None
    except ValueError:
        raise BadInput(f"{path} is damaged", hint="run `heldout data seal` again", code="damaged_file") from None
