"""Checkpoints outside this machine: sealed into the stores at an interval, fetched again where the disk was lost.

    /out/checkpoint ─▶ work/<job>/checkpoint.tar ─▶ sealed ─▶ every store ─▶ letter to oneself
                                ▲                                                  │
                                └────────────── a node with the same keys ◀────────┘

The letter leaves only once a store has the whole file, so the newest letter always names something whole. Then the one
before is given up, and at the job's end the last: a store keeps them while the job goes on, and no longer. What a job
may put there is bounded in size, number and sum, and spread over its work window. Nothing here can fail a training,
which needs none of it.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from heldout.market.artifacts import artifact_id
from heldout.market.durable import write_whole
from heldout.market.errors import BadMessage, HeldoutError
from heldout.market.messages import Letter
from heldout.market.terms import JobId
from heldout.provider.duties import View
from heldout.provider.tools import Tools

log = logging.getLogger(__name__)

PREFIX = "checkpoint/"
FILE = "checkpoint.tar"
MOST_BYTES = 64 << 20
"""Of what a job keeps in /out/checkpoint, for it to be kept elsewhere too."""
MOST_TOTAL = 512 << 20
"""Bytes of one job's checkpoints in a store: a tenth of what an address may upload there in a day."""
MOST_KEPT = 200
_TAR_BYTES = MOST_BYTES + (4 << 20)
_LAST = 2**63 - 1
"""Greatest sequence of a letter: whoever carries them can forge one of any."""
_NOTHING = {"count": 0, "bytes": 0, "at": 0.0, "digest": "", "letter": ""}


class Checkpoints:
    """Of one node's jobs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._letters: dict[JobId, list[Letter]] = defaultdict(list)
        self._sealed: dict[JobId, tuple[Letter, int, str]] = {}
        self._sought: set[JobId] = set()

    def receive(self, letter: Letter) -> None:
        """File a letter of this node to itself. The mail brings it again after a restart, and after a lost disk."""
        if len(self._letters[letter.job]) < MOST_KEPT:
            self._letters[letter.job].append(letter)

    def forget(self, job: JobId) -> None:
        """The job is over: nobody needs what was kept of it."""
        self._give_up(self._noted(job)["letter"])
        for room in (self._letters, self._sealed):
            room.pop(job, None)
        self._sought.discard(job)
        self._tools.journal.delete(PREFIX + job)

    # --------------------------------------------------------------------------------------------------- keeping

    def tend(self, view: View) -> None:
        """Take, seal and upload the next checkpoint of a running attempt, when it is time."""
        job, noted, now = view.job.id, self._noted(view.job.id), self._tools.clock()
        if not self._is_due(view, noted, now):
            return
        path, sequence = self._path(job), self._next(job)
        try:
            if not self._tools.chores.done(f"checkpoint/{job}", lambda: self._upload(job, path, sequence, noted)):
                return
        except HeldoutError as problem:
            log.warning("job %s: its checkpoint is not kept elsewhere: %s", job, problem.message)
        noted = noted | {"at": now}
        if job in self._sealed:
            letter, size, digest = self._sealed.pop(job)
            noted |= {"count": noted["count"] + 1, "bytes": noted["bytes"] + size, "digest": digest}
            noted["letter"] = letter.encode().decode()
            log.info("job %s  checkpoint %d  %d bytes sealed", job, letter.int_of("sequence"), size)
        self._tools.journal.put(PREFIX + job, noted)
        self._tools.reach("checkpoint.noted")
        self._tell(job, noted)

    def _is_due(self, view: View, noted: dict[str, Any], now: float) -> bool:
        """The configured interval, stretched so that number and sum last for the whole work window. A clock that was
        set back since the last one does not put the next off."""
        every = self._tools.config.checkpoint_s
        if not every or noted["count"] >= MOST_KEPT or noted["bytes"] >= MOST_TOTAL:
            return False
        size = noted["bytes"] / noted["count"] if noted["count"] else 0
        window = view.job.terms.workWindow
        pause = max(every, window / MOST_KEPT, window * size / MOST_TOTAL)
        return not noted["at"] <= now < noted["at"] + pause

    def _upload(self, job: JobId, path: Path, sequence: int, noted: dict[str, Any]) -> None:
        """In a thread, and so without the journal. Leaves in `_sealed` what has reached a store; a checkpoint that is
        as the one before, which is `noted`, is left alone."""
        if not self._tools.training.snapshot(job, path, MOST_BYTES):
            return
        archive = path.read_bytes()
        digest = sha256(archive).hexdigest()
        if digest == noted["digest"]:
            return
        letter, blob = self._tools.deliveries.checkpoint(job, sequence, archive)
        self._tools.stores.put(blob)
        self._sealed[job] = letter, len(blob), digest
        self._give_up(noted["letter"])

    def _next(self, job: JobId) -> int:
        return min(max((letter.int_of("sequence") for letter in self._known(job)), default=0) + 1, _LAST)

    def _give_up(self, noted: str) -> None:
        """What this node noted itself alone: a letter that the mail brought could name the weights. If no store can be
        told, it stays there for as long as stores keep things."""
        if noted:
            letter = Letter.decode(noted.encode())
            try:
                self._tools.stores.drop_pin(artifact_id(letter.bytes_of("sealedHash")))
            except HeldoutError as problem:
                log.debug("job %s: a checkpoint is kept for longer than needed: %s", letter.job, problem.message)

    def _tell(self, job: JobId, noted: dict[str, Any]) -> None:
        """By the service alone: a checkpoint is worth no gas."""
        if noted["letter"]:
            try:
                self._tools.mail.send(Letter.decode(noted["letter"].encode()))
            except HeldoutError as problem:
                log.debug("job %s: the letter about its checkpoint was not taken: %s", job, problem.message)

    # -------------------------------------------------------------------------------------------------- restoring

    def found(self, job: JobId) -> bool:
        """Whether it is known if there is a checkpoint to begin with: on this disk, or fetched by its letter."""
        path, letters = self._path(job), self._known(job)
        if path.exists() or job in self._sought or not letters:
            return True
        if not self._tools.chores.done(f"restore/{job}", lambda: self._fetch(job, path, letters)):
            return False
        self._sought.add(job)
        return True

    def of(self, job: JobId) -> Path | None:
        """The archive to begin the next attempt with, should its /out be empty."""
        path = self._path(job)
        return path if path.exists() else None

    def reject(self, job: JobId) -> None:
        """The archive cannot be laid into /out: begin without, rather than never."""
        self._path(job).unlink(missing_ok=True)
        self._sought.add(job)

    def _fetch(self, job: JobId, path: Path, letters: Sequence[Letter]) -> None:
        """In a thread: the newest that opens. What the carrier made up or kept back costs time, never the job."""
        numbered = sorted(enumerate(letters), key=lambda each: (each[1].int_of("sequence"), each[0]), reverse=True)
        for _, letter in numbered:
            try:
                blob = self._tools.stores.get(artifact_id(letter.bytes_of("sealedHash")), _TAR_BYTES)
                write_whole(path, self._tools.deliveries.open_checkpoint(letter, blob))
            except HeldoutError as problem:
                log.warning("job %s: a checkpoint cannot be had: %s", job, problem.message)
                continue
            log.info("job %s  goes on from checkpoint %d of the stores", job, letter.int_of("sequence"))
            return

    def _known(self, job: JobId) -> list[Letter]:
        """Letters from mail and journal that say what they should."""
        noted = self._noted(job)["letter"]
        letters = [*self._letters.get(job, ()), *([Letter.decode(noted.encode())] if noted else [])]
        return [letter for letter in letters if _is_sound(letter)]

    def _noted(self, job: JobId) -> dict[str, Any]:
        return _NOTHING | (self._tools.journal.get(PREFIX + job) or {})

    def _path(self, job: JobId) -> Path:
        return self._tools.materials.folder(job) / FILE


def _is_sound(letter: Letter) -> bool:
    try:
        return 0 <= letter.int_of("sequence") <= _LAST and len(letter.bytes_of("sealedHash")) == 32
    except BadMessage:
        return False
