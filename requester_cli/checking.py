"""Refusing a bad job before money moves: the data, the graph, the baseline and the floor, as strangers will meet them.

shards ── no input occurs in two of them
baseline.py ── twice in the sandbox, on the training shards of a stand-in split ──▶ weights
weights ── scored twice over the held-out shards, with one thread and with two ──▶ the same score, the same evidence
score ── must not pass the floor: else everybody is paid for nothing
weights ── scored over the public shards, exactly and in float32 ──▶ what exactness costs
"""

import asyncio
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from heldout.kernels.child import ScoreResult
from heldout.market.errors import BadInput, HeldoutError
from heldout.market.keys import KeyRing
from heldout.market.messages import describe_score
from heldout.market.sandbox import Limits, Runner, RunSpec, open_runner
from heldout.market.settings import Network
from heldout.market.split import draw_split
from heldout.market.terms import JobTerms
from heldout.requester_cli.dataset import open_all, overlaps
from heldout.requester_cli.posting import Posting
from heldout.requester_cli.project import CheckRecord, Project
from heldout.requester_cli.scoring import FLOAT32, score, vote_of

BASELINE = "baseline.py"
RUNS = 2
MOST_DIFFERENCE = 1000
"""A tenth of a point, in ppm: more, and the difference between exact and float32 scores is worth a warning."""
_SEED = "1"
_NO_CAP = 1 << 62
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Comparison:
    """The baseline on the shards that providers get to see: by the scorer, and as training frameworks compute."""

    rows: int
    exact: int
    float32: int

    @property
    def difference(self) -> int:
        """In ppm."""
        return self.exact - self.float32

    @property
    def large(self) -> bool:
        return abs(self.difference) > MOST_DIFFERENCE


@dataclass(frozen=True)
class CheckReport:
    """What was found. A report exists only if nothing speaks against posting."""

    rows: int
    held_out_rows: int
    baseline: ScoreResult
    public: Comparison
    seconds: float
    """Wall time of the slower baseline run."""
    isolated: bool


def check(project: Project, posting: Posting, keys: KeyRing, network: Network, *, runner: str) -> CheckReport:
    """Raises BadInput saying what is wrong with the job, SandboxProblem if there is no sandbox to try it in."""
    parts = list(open_all(project.shards(), keys.data_secret))
    if repeated := overlaps(parts):
        hint = "seal the data again with --drop-duplicates"
        raise BadInput(f"{repeated} rows occur in more than one shard", hint=hint, code="duplicate_rows")
    if BASELINE not in project.task_files():
        hint = "a script that does the least anybody could do, and writes /out/weights.safetensors"
        raise BadInput(f"there is no {BASELINE} in {project.job.task_dir}", hint=hint, code="no_baseline")
    terms = posting.terms
    split = draw_split(bytes(32), bytes.fromhex(posting.job[2:]), terms.shards, terms.heldOut)
    runs = asyncio.run(_run_baseline(project, posting, [parts[i] for i in split.training], network, runner))
    results = [
        score(terms, project.graph(), run.weights, [parts[i] for i in split.held_out], threads=number)
        for number, run in enumerate(runs, 1)
    ]
    _refuse_bad(posting, results)
    public = [parts[i] for i in split.training]
    report = CheckReport(
        rows=sum(posting.sealed.rows),
        held_out_rows=sum(posting.sealed.rows[i] for i in split.held_out),
        baseline=results[0],
        public=compare(terms, project.graph(), runs[0].weights, public),
        seconds=max(run.seconds for run in runs),
        isolated=runs[0].isolated,
    )
    evidence = results[0].evidence.hex()
    project.save_check(CheckRecord(posting.subject, vote_of(results[0]), evidence, results[0].operations))
    return report


def compare(terms: JobTerms, graph: bytes, weights: bytes, shards: Sequence[bytes]) -> Comparison:
    """Scores the same rows exactly and in float32. Raises BadInput if they cannot be scored."""
    exact = score(terms, graph, weights, shards, operation_cap=_NO_CAP)
    plain = score(terms, graph, weights, shards, operation_cap=_NO_CAP, device=FLOAT32)
    return Comparison(exact.rows, vote_of(exact), vote_of(plain))


def _refuse_bad(posting: Posting, results: Sequence[ScoreResult]) -> None:
    first = results[0]
    if first.score is None:
        hint = "its weights must be exactly the graph's initialisers, float32"
        raise BadInput(f"the baseline's weights are refused: {first.reason}", hint=hint, code="bad_baseline")
    if any((result.score, result.evidence) != (first.score, first.evidence) for result in results):
        hint = f"{BASELINE} must give the same weights twice: take all randomness from HELDOUT_SEED"
        raise BadInput("two runs of the baseline were scored differently", hint=hint, code="not_deterministic")
    terms = posting.terms
    passes = first.score <= terms.floor if terms.lower_is_better else first.score >= terms.floor
    if passes:
        what = f"the baseline scores {describe_score(first.score)}, the floor is {describe_score(terms.floor)}"
        hint = "whoever submits the baseline would be paid: move the floor beyond it"
        raise BadInput(what, hint=hint, code="floor_too_low")


# ------------------------------------------------------------------------------------------------- sandbox


@dataclass(frozen=True)
class _Run:
    weights: bytes
    seconds: float
    isolated: bool


async def _run_baseline(
    project: Project, posting: Posting, training: Sequence[bytes], network: Network, kind: str
) -> list[_Run]:
    with TemporaryDirectory(prefix="heldout-check-") as name:
        folder = Path(name) / "shown"
        _lay_out(folder, project.task_files(), training)
        runner = open_runner(kind, folder / "sandbox", chain_id=network.chain_id)
        await runner.check()
        return [await _run_once(runner, folder, posting, attempt) for attempt in range(RUNS)]


def _lay_out(folder: Path, task: dict[str, bytes], training: Sequence[bytes]) -> None:
    """The folders a provider would show to the job. Readable by the sandbox's own user, hence the modes; what is above
    them is nobody else's to enter, for these rows are in the clear."""
    files = {Path("task") / path: data for path, data in task.items()}
    files |= {Path("data") / f"{index:02}.safetensors": data for index, data in enumerate(training)}
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


async def _run_once(runner: Runner, folder: Path, posting: Posting, attempt: int) -> _Run:
    spec = _spec(folder, posting, attempt)
    began = time.monotonic()
    handle = await runner.start(spec)
    try:
        report = await runner.wait(handle)
        if not report.ok:
            lines = [line async for line in runner.logs(handle)]
            tail = " | ".join(lines[-20:]) or "it printed nothing"
            how = f"exit code {report.exit_code}" + (f", killed by {report.killed_by}" if report.killed_by else "")
            raise BadInput(
                f"{BASELINE} failed in the sandbox ({how})", hint=f"its last lines: {tail}", code="bad_baseline"
            )
        collected = await runner.collect(handle, max_bytes=posting.terms.weightsBytes)
        return _Run(collected.path.read_bytes(), time.monotonic() - began, runner.isolates)
    finally:
        await runner.discard(spec.job)


def _spec(folder: Path, posting: Posting, attempt: int) -> RunSpec:
    needs = posting.manifest.resources
    return RunSpec(
        job=f"check-{posting.job[2:18]}-{attempt}",
        attempt="1",
        image=_image(posting),
        command=("python", f"/in/task/{BASELINE}"),
        task_dir=folder / "task",
        data_dir=folder / "data",
        deadline=time.time() + needs.seconds,
        limits=Limits(
            cpus=needs.cpus, memory_bytes=needs.memory_bytes, disk_bytes=needs.disk_bytes, seconds=needs.seconds
        ),
        env={"HELDOUT_SEED": _SEED, "HELDOUT_THREADS": str(needs.cpus)},
        tier=needs.tier,
    )


def _image(posting: Posting) -> str:
    machine = platform.machine().lower()
    wanted = f"{sys.platform}/{_MACHINES.get(machine, machine)}"
    images = posting.manifest.image
    if wanted not in images:
        raise HeldoutError(
            f"the job has images for {', '.join(images)}, this machine is {wanted}", code="other_platform"
        )
    return images[wanted]
