"""Scoring in a process of its own: what goes in, what comes out, how it is started. Standard library only.

The request is one JSON object on the child's standard input (or in a file it is given), the answer one JSON object on
its standard output. `BAD` is an answer; everything else that goes wrong is an error on standard error, exit code 1.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from heldout.kernels import SCORER, errors
from heldout.kernels.errors import ChildFailed, KernelError, TimedOut

BAD = "BAD"
DIGITS = 8
"""Hexadecimal digits that an account keeps of what a node made of a row."""
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class ScoreRequest:
    """One lane to score. Paths are of plaintext files, shards in the order of their rows; no shard: check weights only.

    `memory_bytes` bounds the child's address space and `cpu_seconds` its processor time; 0 leaves them alone. Neither
    bound, nor `threads`, nor `device` can change a score, but for the device `float32`: it rounds nothing to grids and
    gives what a training framework would find, and no vote.
    """

    graph: str
    weights: str
    shards: tuple[str, ...]
    metric: str
    operation_cap: int
    weights_bytes: int
    memory_bytes: int = 0
    cpu_seconds: int = 0
    threads: int = 1
    device: str = "numpy"
    account: bool = False
    """Whether to tell what became of each row (`kernels/account.py`)."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str | bytes) -> "ScoreRequest":
        """Raises ChildFailed for anything but a complete request."""
        try:
            raw: dict[str, Any] = json.loads(text)
            return ScoreRequest(**{**raw, "shards": tuple(raw["shards"])})
        except (ValueError, TypeError, KeyError) as problem:
            raise ChildFailed(f"the request cannot be read: {problem}") from None


@dataclass(frozen=True)
class ScoreResult:
    """A lane's vote and what it rests on: `score` in parts per million, or `code` BAD with a reason for people, or
    neither if there was no shard to score and the weights are as they should be.

    `evidence` is SHA-256 over the per-row predictions (P9.5), 32 zero bytes without a score.
    """

    score: int | None
    code: str | None
    reason: str | None
    evidence: bytes
    rows: int
    operations: int
    scorer: str = SCORER
    account: dict[str, Any] | None = None

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "evidence": self.evidence.hex()})

    @staticmethod
    def from_json(text: str | bytes) -> "ScoreResult":
        raw: dict[str, Any] = json.loads(text)
        return ScoreResult(**{**raw, "evidence": bytes.fromhex(raw["evidence"])})


def command(*arguments: str) -> list[str]:
    """The child's command line. Its environment is empty, so that nothing of the parent's reaches it."""
    return [sys.executable, "-P", "-m", "heldout.kernels", *(arguments or ("-",))]


def run(request: ScoreRequest, *, timeout_s: float) -> ScoreResult:
    """Scores in a child and waits for it. Raises the KernelError the child reports, TimedOut or ChildFailed."""
    return ScoreResult.from_json(_communicate(command(), request.to_json().encode(), timeout_s))


def self_test(device: str = "numpy", *, timeout_s: float = 60) -> int:
    """Runs the known-answer vectors in a child (P9.4). Returns their number, raises SelfTestFailed or NoDevice."""
    return int(json.loads(_communicate(command("--self-test", device), b"", timeout_s))["vectors"])


def survey(*, timeout_s: float = 120) -> list[dict[str, Any]]:
    """The devices of this machine, tested in a child: `devices.survey.Seen` as objects."""
    found: list[dict[str, Any]] = ask("--devices", timeout_s=timeout_s)
    return found


def ask(option: str, request: object = None, *, timeout_s: float) -> Any:
    """Has a child answer anything else, JSON for JSON: `--capability` and the like (see `capability_child`).

    Raises the KernelError the child reports, TimedOut or ChildFailed.
    """
    return json.loads(_communicate(command(option), json.dumps(request).encode(), timeout_s))


def facts(graph: bytes, *, timeout_s: float) -> dict[str, Any]:
    """What a submission for this graph must hold, and what a row costs (`facts.py`), found in a child. Raises
    KernelError if no child can tell."""
    arguments = [sys.executable, "-P", "-m", "heldout.kernels.facts"]
    found: dict[str, Any] = json.loads(_communicate(arguments, graph, timeout_s))
    return found


def _answer(returncode: int, stdout: bytes, stderr: bytes) -> bytes:
    """The child's standard output if it did its work, else the error it reports."""
    if returncode == 0:
        return stdout
    try:
        report: dict[str, str] = json.loads(stderr.splitlines()[-1])
        kind = _kinds()[report["code"]]
        message = report["message"]
    except (ValueError, LookupError, TypeError):
        kind = ChildFailed
        message = f"the scoring process ended with {returncode}: {stderr.decode(errors='replace')}"
    raise kind(message[:_LONGEST_MESSAGE])


def _communicate(arguments: list[str], text: bytes, timeout_s: float) -> bytes:
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, env={}, start_new_session=True) as child:
        try:
            stdout, stderr = child.communicate(text, timeout_s)
        except BaseException as problem:
            _kill_group(child.pid)
            if isinstance(problem, subprocess.TimeoutExpired):
                raise TimedOut(f"scoring took longer than {timeout_s:g} s") from None
            raise
    return _answer(child.returncode, stdout, stderr)


def _kill_group(pid: int) -> None:
    """Ends a child that leads its own session, with everything it may have started."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _kinds() -> dict[str, type[KernelError]]:
    return {
        kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KernelError)
    }
