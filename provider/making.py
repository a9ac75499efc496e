"""From the requester's keys to a sealed weights file: everything before the one word on chain (P4.1, P4.3, P4.5).

Steps note in the journal what they are about to do, do it, and note that it is done. The places between, where a test
may kill the node, are named by `reach`.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from heldout.market.durable import write_whole
from heldout.market.errors import BadEnvelope, BadMessage, BadWeights, HeldoutError, SandboxProblem, StoreProblem
from heldout.market.lifecycle import REQUESTER, State
from heldout.market.manifest import Manifest
from heldout.market.messages import Letter, decode_answer
from heldout.market.runrecord import RunRecord
from heldout.market.sandbox import Limits, OutputRefused, RunReport, RunSpec, SandboxUnavailable
from heldout.market.sandbox.readings import Reading, add_readings
from heldout.market.split import Split
from heldout.market.terms import JobId
from heldout.market.weights import all_finite, parse
from heldout.provider.bidding import Refusal
from heldout.provider.checkpoints import Checkpoints
from heldout.provider.duties import View, is_own_fault, time_to_train
from heldout.provider.record import Record
from heldout.provider.tools import Tools, job_bytes
from heldout.provider.trial import try_weights

log = logging.getLogger(__name__)

PROGRESS = "progress/"
TAIL_LINES = 20
REPORT_EVERY_S = 3.0
MOST_LETTERS = 32
"""Letters kept of a requester that keeps writing; what it puts on chain is always read."""


class Making:
    """Each method takes one step and returns the record after it; each is safe to take twice."""

    def __init__(self, tools: Tools, checkpoints: Checkpoints) -> None:
        self._tools = tools
        self._checkpoints = checkpoints
        self._letters: dict[JobId, list[Letter]] = {}
        self._reported: dict[JobId, float] = {}

    def receive(self, letter: Letter) -> None:
        """File a letter with training keys. The mail brings it again after a restart."""
        filed = self._letters.setdefault(letter.job, [])
        if len(filed) < MOST_LETTERS:
            filed.append(letter)

    def forget(self, job: JobId) -> None:
        self._letters.pop(job, None)
        self._reported.pop(job, None)
        self._checkpoints.forget(job)

    def take_keys(self, view: View, mine: Record) -> Record:
        """The first letter or answer whose envelope opens. Whether its keys open the shards shows in `fetch_data`."""
        training = self._split(view).training
        for letter in self._candidates(view):
            name = sha256(letter.encode()).hexdigest()
            if name in mine.refused:
                continue
            try:
                keys = self._tools.deliveries.training_keys(letter, view.job.terms.requester, len(training))
            except (BadEnvelope, BadMessage) as problem:
                log.warning("job %s: training keys are refused: %s", view.job.id, problem.message)
                mine = mine.but(refused=(*mine.refused, name))
                continue
            log.info("job %s  keys of %d training shards", view.job.id, len(training))
            return self._tools.records.keep(mine.but(keys=keys.hex(), keys_from=name))
        return self._tools.records.keep(mine.but(keys_bad=_answered(view) and view.deep))

    def _candidates(self, view: View) -> Iterator[Letter]:
        """Letters with training keys to this provider, out of the mail and out of answers on chain."""
        yield from self._letters.get(view.job.id, [])
        yield from (letter for letter in _answers(view) if letter.receiver.lower() == view.me.lower())

    def demand_keys(self, view: View, mine: Record) -> Record:
        """P4.5: unanswered, the bond goes to who demanded."""
        log.warning("job %s: no training keys yet, demanding them on chain", view.job.id)
        self._tools.outbox.send(f"demand:{view.job.id}:keys", "demand", view.job.terms.as_tuple(), REQUESTER, 0)
        return self._tools.records.keep(mine.but(demanded=True))

    def _split(self, view: View) -> Split:
        assert view.job.accept_block is not None
        return self._tools.chain.split(view.job.terms, view.job.accept_block)

    def fetch_data(self, view: View, mine: Record) -> Record:
        """Task and opened shards on disk. Keys that open something else are refused, as if they had never come."""
        job, terms = view.job.id, view.job.terms
        manifest, folder = self._manifest(view), self._tools.materials.folder(job)
        keys, shards = bytes.fromhex(mine.keys), self._split(view).training

        def fetch() -> None:
            self._tools.materials.fetch_task(manifest, folder / "task")
            self._tools.materials.open_data(terms, keys, shards, folder / "data")

        try:
            if not self._tools.chores.done(f"data/{job}", fetch):
                return mine
        except BadEnvelope as problem:
            log.warning("job %s: training keys do not open the shards: %s", job, problem.message)
            return self._tools.records.keep(mine.but(keys="", keys_from="", refused=(*mine.refused, mine.keys_from)))
        self._tools.reach("data.ready")
        return self._tools.records.keep(mine.but(data_ready=True))

    def _manifest(self, view: View) -> Manifest:
        manifest = self._tools.materials.manifest(view.job.terms)
        if isinstance(manifest, Refusal):
            raise HeldoutError(manifest.text, hint="it was there when this node bid")
        return manifest

    def train(self, view: View, mine: Record) -> Record:
        """Begin the next attempt. It finds the checkpoint of the one before, be it only in the stores."""
        if not self._checkpoints.found(view.job.id):
            return mine
        mine = self._tools.records.keep(mine.but(attempts=mine.attempts + 1))
        self._tools.reach("train.noted")
        try:
            self._tools.training.start(self._spec(view, mine))
        except OutputRefused as problem:
            log.warning("job %s: begins without its checkpoint: %s", view.job.id, problem.message)
            self._checkpoints.reject(view.job.id)
            return mine
        log.info("job %s  running  attempt %d", view.job.id, mine.attempts)
        self._tools.reach("train.started")
        return mine

    def _spec(self, view: View, mine: Record) -> RunSpec:
        manifest, folder = self._manifest(view), self._tools.materials.folder(view.job.id)
        needs = manifest.resources
        seed = int.from_bytes(sha256(job_bytes(view.job.id) + bytes.fromhex(view.me[2:])).digest()[:4], "big")
        return RunSpec(
            job=view.job.id,
            attempt=str(mine.attempts),
            image=manifest.image[self._tools.platform],
            command=manifest.command,
            task_dir=folder / "task",
            data_dir=folder / "data",
            deadline=self._tools.clock() + time_to_train(view.job, mine, view.now),
            limits=Limits(
                cpus=needs.cpus,
                memory_bytes=needs.memory_bytes,
                disk_bytes=needs.disk_bytes,
                seconds=needs.seconds,
                gpus=needs.gpus,
            ),
            env={"HELDOUT_SEED": str(seed), "HELDOUT_THREADS": str(needs.cpus)},
            tier=needs.tier,
            checkpoint=self._checkpoints.of(view.job.id),
        )

    def watch(self, view: View, mine: Record) -> Record:
        """Take in what the attempt prints and, once it has ended, the weights it left."""
        job = view.job.id
        try:
            report = self._tools.training.ended(job)
            self._note_progress(view, self._tools.training.new_lines(job), is_last=report is not None)
            if report is None:
                self._checkpoints.tend(view)
                return mine
            mine = mine.but(run=_run_record(view, mine, report))
            if not report.ok:
                return self._failed(mine, report.describe(), fault=self._is_fault(view, report))
            self._tools.reach("train.ended")
            if not self._tools.chores.done(f"weights/{job}", lambda: self._collect(view)):
                return mine
        except SandboxUnavailable:
            raise
        except (OutputRefused, BadWeights) as problem:
            return self._failed(mine, problem.message, fault=True)
        except SandboxProblem as problem:
            return self._failed(mine, problem.message, fault=False)
        return self._trained(view, mine, report)

    def _collect(self, view: View) -> None:
        """In a thread: what the attempt left, onto this disk, if the seats would take it. Raises BadWeights,
        SandboxProblem."""
        job, terms, materials = view.job.id, view.job.terms, self._tools.materials
        manifest, target = self._manifest(view), materials.weights(job)
        weights = self._tools.training.collect(job, terms.weightsBytes).path.read_bytes()
        _check_weights(weights)
        write_whole(target, weights)
        with suppress(StoreProblem):  # what cannot be tried is submitted: to be absent costs more
            graph = materials.fetch_graph(manifest, job)
            try_weights(target, graph, materials.a_shard(job), manifest.metric, terms.weightsBytes)

    def _trained(self, view: View, mine: Record, report: RunReport) -> Record:
        assert mine.run is not None
        job, weights = view.job.id, self._tools.materials.weights(view.job.id).read_bytes()
        log.info("job %s  trained  %.1f s, weights of %d bytes", job, report.wall_s, len(weights))
        self._tools.reach("weights.kept")
        digest = sha256(weights).hexdigest()
        mine = self._tools.records.keep(mine.but(weights_hash=digest, run=mine.run.of_weights(digest)))
        self._tools.requesters.trained(view.job.terms.requester)
        self._tools.training.discard(job)
        return mine

    def _is_fault(self, view: View, report: RunReport) -> bool:
        asked, window = self._manifest(view).resources.seconds, view.job.terms.workWindow
        return self._tools.materials.has_room() and is_own_fault(report.killed_by or "", report.wall_s, asked, window)

    def _failed(self, mine: Record, how: str, *, fault: bool) -> Record:
        """The next attempt finds what this one wrote to /out, so a checkpoint is not lost. `fault`: the program's."""
        known = self._tools.journal.get(PROGRESS + mine.job) or {}
        lines = known.get("tail", [])
        log.warning("job %s: attempt %d failed: %s; its last lines: %s", mine.job, mine.attempts, how, lines)
        self._tools.journal.put(PROGRESS + mine.job, known | {"tail": []})
        self._tools.training.drop(mine.job)
        counts = {"failed": mine.attempts, "failures": mine.failures + 1, "faults": mine.faults + fault}
        return self._tools.records.keep(mine.but(**counts, failure=how))

    def _note_progress(self, view: View, lines: list[str], *, is_last: bool) -> None:
        job = view.job.id
        if lines or is_last:
            known = {"readings": [], "tail": []} | (self._tools.journal.get(PROGRESS + job) or {})
            tail, readings = [*known["tail"], *lines][-TAIL_LINES:], add_readings(known["readings"], lines)
            self._tools.journal.put(PROGRESS + job, known | {"readings": readings, "tail": tail})
            self._report(view, readings, is_last=is_last)

    def _report(self, view: View, readings: list[Reading], *, is_last: bool) -> None:
        """For those who watch; training does not wait for them."""
        now = self._tools.clock()
        is_early = now < self._reported.get(view.job.id, 0.0) + REPORT_EVERY_S and not is_last
        if view.lane is None or not readings or is_early:
            return
        self._reported[view.job.id] = now
        try:
            self._tools.mail.report(view.job.id, view.lane, readings)
        except HeldoutError as problem:
            log.debug("job %s: readings were not taken: %s", view.job.id, problem.message)

    def seal(self, view: View, mine: Record) -> Record:
        """P4.4: everything that opens the weights is in the journal before anything of it leaves."""
        weights = self._tools.materials.weights(view.job.id).read_bytes()
        if sha256(weights).hexdigest() != mine.weights_hash:
            how = "the weights on disk are not those that were trained"
            return self._failed(mine.but(weights_hash=""), how, fault=False)
        sealed, blob = self._tools.deliveries.seal(view.job.id, view.job.terms, weights)
        write_whole(self._sealed_path(view.job.id), blob)
        mine = self._tools.records.keep(mine.but(sealed=sealed))
        self._tools.reach("sealed")
        return mine

    def upload(self, view: View, mine: Record) -> Record:
        """The sealed weights to every store."""
        path = self._sealed_path(view.job.id)

        def put() -> None:
            self._tools.stores.put(path)

        if not self._tools.chores.done(f"upload/{view.job.id}", put):
            return mine
        self._tools.reach("uploaded")
        return self._tools.records.keep(mine.but(uploaded=True))

    def _sealed_path(self, job: JobId) -> Path:
        return self._tools.materials.folder(job) / "weights.sealed"


def _run_record(view: View, mine: Record, report: RunReport) -> RunRecord:
    """How an attempt ran; the weights are named once they are known."""
    assert view.lane is not None
    return RunRecord(
        job=view.job.id,
        provider=view.me,
        lane=view.lane,
        attempt=mine.attempts,
        exit_code=report.exit_code,
        killed_by=report.killed_by or "",
        wall_ms=round(report.wall_s * 1000),
        cpu_ms=round(report.cpu_s * 1000),
        peak_memory=report.peak_memory,
        bytes_out=report.bytes_out,
        image=report.image,
        tier=report.tier,
        log=report.log_sha256.hex(),
        weights="",
    )


def _check_weights(weights: bytes) -> None:
    """What can be known without the graph: a file that fails this is BAD for certain (P9.1). Raises BadWeights."""
    for name, entry in parse(weights).items():
        if entry.dtype == "F32" and not all_finite(weights, entry):
            raise BadWeights(f"tensor {name!r} holds a value that is not finite")


def _answered(view: View) -> bool:
    return any(stage is State.RUNNING and party == REQUESTER for stage, _, party, _ in view.job.answers)


def _answers(view: View) -> Iterator[Letter]:
    for stage, _, party, envelopes in view.job.answers:
        if stage is State.RUNNING and party == REQUESTER:
            yield from decode_answer(envelopes)
