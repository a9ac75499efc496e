"""Refusing a bad job before money moves: the data, the graph, the baseline and the floor, as strangers will meet them.

shards ── no input occurs in two of them
baseline.py ── twice in the sandbox, on the training shards of a stand-in split ──▶ weights
weights ── scored twice over the held-out shards, with one thread and with two ──▶ the same score, the same evidence
score ── must not pass the floor: else everybody is paid for nothing
weights ── scored over the training shards, exactly and in float32 ──▶ what exactness costs
command ── started in the sandbox: it must take a step, and not fail
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from heldout.kernels.child import ScoreResult
from heldout.market.errors import BadInput
from heldout.market.keys import KeyRing
from heldout.market.messages import describe_score
from heldout.market.settings import Network
from heldout.market.split import draw_split
from heldout.market.terms import JobTerms
from heldout.requester_cli.dataset import open_all, overlaps
from heldout.requester_cli.posting import Posting
from heldout.requester_cli.project import CheckRecord, Project
from heldout.requester_cli.scoring import FLOAT32, score, vote_of
from heldout.requester_cli.trying import BASELINE, Trial, run_all

MOST_DIFFERENCE = 1000
"""A tenth of a point, in ppm: more, and the difference between exact and float32 scores is worth a warning."""
_NO_CAP = 1 << 62


@dataclass(frozen=True)
class Comparison:
    """The baseline on the training shards of a stand-in split: by the scorer, and as training frameworks compute."""

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
    training: Comparison
    seconds: float
    """Wall time of the slower baseline run."""
    isolated: bool
    trial: Trial


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
    training, held_out = ([parts[i] for i in half] for half in (split.training, split.held_out))
    runs, trial = asyncio.run(run_all(project.task_files(), posting, training, network, runner))
    results = [
        score(terms, project.graph(), run.weights, held_out, threads=number) for number, run in enumerate(runs, 1)
    ]
    _refuse_bad(posting, results)
    if trial.weights is not None:
        _refuse_bad_weights(score(terms, project.graph(), trial.weights, held_out), "the command", "bad_command")
    report = CheckReport(
        rows=sum(posting.sealed.rows),
        held_out_rows=sum(posting.sealed.rows[i] for i in split.held_out),
        baseline=results[0],
        training=compare(terms, project.graph(), runs[0].weights, training),
        seconds=max(run.seconds for run in runs),
        isolated=runs[0].isolated,
        trial=trial,
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
    _refuse_bad_weights(first, BASELINE, "bad_baseline")
    assert first.score is not None
    if any((result.score, result.evidence) != (first.score, first.evidence) for result in results):
        hint = f"{BASELINE} must give the same weights twice: take all randomness from HELDOUT_SEED"
        raise BadInput("two runs of the baseline were scored differently", hint=hint, code="not_deterministic")
    terms = posting.terms
    passes = first.score <= terms.floor if terms.lower_is_better else first.score >= terms.floor
    if passes:
        what = f"the baseline scores {describe_score(first.score)}, the floor is {describe_score(terms.floor)}"
        hint = "whoever submits the baseline would be paid: move the floor beyond it"
        raise BadInput(what, hint=hint, code="floor_too_low")


def _refuse_bad_weights(result: ScoreResult, whose: str, code: str) -> None:
    if result.score is None:
        hint = "the weights must be exactly the graph's initialisers, float32"
        raise BadInput(f"the weights of {whose} are refused: {result.reason}", hint=hint, code=code)
