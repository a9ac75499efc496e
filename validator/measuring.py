"""From what has arrived to one finding for each lane. Runs in a thread: it waits for stores and the scoring process.

    missing on chain ─────────────────────────────────────▶ MISSING
    NO_KEYS ── training envelope, its seed ───────────────▶ whose word is wrong
    submission letter ── opens? ──▶ weights ── strict check ▶ BAD
    held-out letter ── opens? ──▶ rows ──── scored together ▶ score
                        └ no: undelivered, and by whom: it may yet come

Plaintext rows and weights live in a scratch folder for as long as the measurement takes; no score, and nothing that
depends on one, is written to a log (P4.7).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from heldout.kernels import SCORER
from heldout.kernels.child import ScoreRequest, ScoreResult
from heldout.kernels.errors import BadData, BadGraph, TooManyOperations
from heldout.market.errors import BadEnvelope, BadManifest, BadMessage, StoreProblem
from heldout.market.lifecycle import REQUESTER
from heldout.market.manifest import Manifest
from heldout.market.messages import BAD, MISSING, NO_KEYS, Kind, Letter
from heldout.market.split import Split
from heldout.market.terms import METRICS, Address, JobId, JobTerms, scorer_id
from heldout.validator.opening import (
    Entry,
    Get,
    HeldOutSecret,
    Reader,
    check_training_envelope,
    open_shards,
    open_submission,
)
from heldout.validator.voting import Finding, Undelivered, Verdict

MANIFEST_BYTES = 1 << 20
GRAPH_BYTES = 1 << 26
_NOT_FITTING = (BadEnvelope, BadMessage, BadManifest, StoreProblem)


@dataclass(frozen=True)
class Case:
    """What the chain says about a job that is to be measured."""

    job: JobId
    terms: JobTerms
    lanes: tuple[Entry, ...]
    missing: frozenset[int]
    """Lanes that were not submitted, or whose provider left a demand unanswered."""
    split: Split
    answered: tuple[Letter, ...] = ()
    """What the requester answered on chain while Running: its training keys (P4.5)."""


@dataclass(frozen=True)
class Tools:
    """What measuring needs of the world."""

    reader: Reader
    get: Get
    score: Callable[[ScoreRequest, float], ScoreResult]
    """A lane's result; gives up after so many seconds."""
    scratch: Path


@dataclass(frozen=True)
class _Task:
    metric: str
    graph: Path


def measure(case: Case, letters: Sequence[Letter], known: Sequence[Finding], tools: Tools) -> tuple[Finding, ...]:
    """One finding for each lane; verdicts among `known` stand.

    Raises KernelError if this machine, not a party, is to blame that there is no score.
    """
    tools.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=tools.scratch) as folder:
        return _Measurement(case, letters, tools, Path(folder)).findings(known)


class _Measurement:
    """One attempt. What all lanes share is fetched and opened once, when the first lane needs it."""

    def __init__(self, case: Case, letters: Sequence[Letter], tools: Tools, folder: Path) -> None:
        self._case = case
        self._letters = letters
        self._tools = tools
        self._folder = folder
        self._task: _Task | Undelivered | None = None
        self._rows: tuple[Path, ...] | Undelivered | None = None

    def findings(self, known: Sequence[Finding]) -> tuple[Finding, ...]:
        before = dict(enumerate(known))
        return tuple(self._finding(entry, before.get(entry.lane)) for entry in self._case.lanes)

    def _finding(self, entry: Entry, before: Finding | None) -> Finding:
        if entry.lane in self._case.missing:
            return Verdict(MISSING)
        if isinstance(before, Verdict):
            return before
        if entry.word == NO_KEYS:
            return self._judge_no_keys(entry)
        weights = self._weights(entry)
        if isinstance(weights, Undelivered):
            return weights
        task = self.task()
        if isinstance(task, Undelivered):
            return task
        return self._score(task, weights)

    def _score(self, task: _Task, weights: Path) -> Finding:
        """A strict check that fails goes before rows that are lacking (P3.1)."""
        rows = self.rows()
        terms = self._case.terms
        request = ScoreRequest(
            graph=str(task.graph),
            weights=str(weights),
            shards=() if isinstance(rows, Undelivered) else tuple(map(str, rows)),
            metric=task.metric,
            operation_cap=terms.operationCap,
            weights_bytes=terms.weightsBytes,
        )
        try:
            result = self._tools.score(request, terms.commitWindow + terms.revealWindow)
        except (BadGraph, BadData, TooManyOperations) as problem:
            return Undelivered(REQUESTER, f"the requester's task cannot be scored: {problem.message}")
        if result.code is not None:
            return Verdict(BAD)
        if isinstance(rows, Undelivered):
            return rows
        assert result.score is not None
        return Verdict(result.score, result.evidence)

    # -------------------------------------------------------------------------------------- what the parties owe

    def task(self) -> _Task | Undelivered:
        """Metric and graph, as fixed by the task hash."""
        if self._task is None:
            try:
                self._task = self._fetch_task()
            except _NOT_FITTING as problem:
                self._task = Undelivered(REQUESTER, problem.message)
        return self._task

    def _fetch_task(self) -> _Task:
        terms = self._case.terms
        manifest = Manifest.decode(self._tools.get(terms.taskHash, MANIFEST_BYTES))
        if not scorer_id(manifest.scorer) == terms.scorer == scorer_id(SCORER):
            raise BadManifest(f"the task names scorer {manifest.scorer!r}, the terms or this node another")
        if METRICS.get(manifest.metric) != terms.metric:  # the contract takes any number
            raise BadManifest(f"the task names metric {manifest.metric!r}, the terms {terms.metric_name!r}")
        graph = self._tools.get(bytes.fromhex(manifest.graph.sha256), GRAPH_BYTES)
        return _Task(manifest.metric, self._write("graph.onnx", graph))

    def _weights(self, entry: Entry) -> Path | Undelivered:
        reason = "its weights have not come"
        for letter in self._of(Kind.SUBMISSION, entry.provider):
            try:
                tools = self._tools
                weights = open_submission(entry, self._case.terms, letter, tools.reader, tools.get)
                return self._write(f"weights-{entry.lane}", weights)
            except _NOT_FITTING as problem:
                reason = problem.message
        return Undelivered(entry.lane, reason)

    def rows(self) -> tuple[Path, ...] | Undelivered:
        """The held-out shards' files, in the split's order."""
        if self._rows is None:
            self._rows = self._open_rows()
        return self._rows

    def _open_rows(self) -> tuple[Path, ...] | Undelivered:
        terms, shards = self._case.terms, self._case.split.held_out
        secrets = [secret.keys for secret in self._secrets()]
        if not secrets:
            return Undelivered(REQUESTER, "the held-out keys have not come")
        offered = [dict.fromkeys(keys) for keys in zip(*secrets, strict=True)]
        try:
            files = open_shards(offered, shards, terms, self._tools.get)
            return tuple(self._write(f"shard-{i}", file) for i, file in zip(shards, files, strict=True))
        except _NOT_FITTING as problem:
            return Undelivered(REQUESTER, problem.message)

    def _judge_no_keys(self, entry: Entry) -> Finding:
        """Whether requester or provider is wrong about the training keys: MISSING if they were delivered (P4.5)."""
        answers = [a for a in self._case.answered if a.kind is Kind.TRAINING_KEYS and a.receiver == entry.provider]
        position = [lane.lane for lane in self._case.lanes if lane.word == NO_KEYS].index(entry.lane)
        seeds = dict.fromkeys(each.seeds[position] for each in self._secrets() if position < len(each.seeds))
        reason = "the seed of the training envelope was not shown"
        for seed, answer in product(seeds, answers):
            try:
                training = self._case.split.training
                check_training_envelope(entry, self._case.terms, answer, seed, training, self._tools.get)
                return Verdict(MISSING)
            except _NOT_FITTING as problem:
                reason = problem.message
        return Undelivered(REQUESTER, reason)

    def _secrets(self) -> Iterable[HeldOutSecret]:
        """Every held-out letter that opens; a forged one is nobody's fault."""
        for letter in self._of(Kind.HELD_OUT_KEYS, self._case.terms.requester):
            try:
                yield HeldOutSecret.decode(self._tools.reader.open(letter), self._case.terms.heldOut)
            except _NOT_FITTING:
                continue

    def _of(self, kind: Kind, owing: Address) -> list[Letter]:
        """Those first that came from who owes them: what others forge or forward then costs no time."""
        known = (letter for letter in self._letters if letter.kind is kind)
        return sorted(known, key=lambda letter: letter.sender.lower() != owing.lower())

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path
