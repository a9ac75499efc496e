"""What of a job anybody can read: the task's files and its graph lie in the stores in the clear (P2.3).

Data, and weights that were paid for, are not to get there by accident, and what is to be run has to be there.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from posixpath import normpath

from heldout.market.manifest import Manifest
from heldout.market.posting.jobfile import JobFile

_NAMED = re.compile(r"""(?<![\w./-])/in/task/(\w[\w./-]*)(?=$|[\s'":;&|)])""")
"""A path in a command's word, also in a shell's line; one with a wildcard or a variable is the shell's to know."""
_TABLES = {".csv", ".tsv", ".parquet", ".feather", ".arrow", ".xls", ".xlsx", ".sqlite", ".db", ".npy", ".npz"}
_WEIGHTS = {".safetensors", ".pt", ".pth", ".ckpt", ".h5", ".pkl", ".pickle", ".joblib"}
_UNITS = ("KiB", "MiB", "GiB")


def check_task(job: JobFile, paths: Collection[str]) -> None:
    """Raises BadJobFile if one of a task's files looks like data or weights, or the command names one that is not."""
    for path in sorted(paths):
        ending = PurePosixPath(path.lower()).suffix
        if ending in _TABLES | _WEIGHTS:
            kind = "weights or sealed rows" if ending in _WEIGHTS else "a table of rows"
            hint = "move it out of the task folder; what may be public has to go in under another ending"
            what = f"{path} would be PUBLIC, and {ending} files hold {kind}"
            raise job.error("task", "dir", what, hint=hint, code="private_file")
    for word in job.command:
        for path in map(normpath, _NAMED.findall(word)):
            if not any(f"{each}/".startswith(f"{path}/") for each in paths):
                listed = ", ".join(sorted(paths)[:8]) or "nothing"
                what = f"the command names /in/task/{path}, and the task has no {path}"
                raise job.error("task", "command", what, hint=f"it has {listed}", code="no_such_task_file")


def public_lines(manifest: Manifest) -> Iterator[str]:
    """Every file, with its size."""
    files = [*manifest.files, manifest.graph]
    width = max(len(file.path) for file in files)
    yield "PUBLIC     anybody can read these files, in the clear; the rows leave this machine sealed only:"
    for file in files:
        yield f"           {file.path:{width}}  {_size(file.bytes)}"


def _size(count: int) -> str:
    amount, unit = float(count), "B"
    for larger in _UNITS:
        if amount >= 1024:
            amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}" if unit != "B" else f"{count} B"
