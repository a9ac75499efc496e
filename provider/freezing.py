"""The owner before the job, the collateral before the owner: whether a training stands still now (issue 5 item 9).

the owner objects ─▶ frozen ─▶ the owner is gone ─▶ thawed
                       └─▶ no time to spare ─▶ alarm ─▶ thawed, or left frozen, as [when] at_risk says
"""

import logging

from heldout.market.errors import SandboxProblem
from heldout.market.manifest import Manifest
from heldout.market.terms import JobId
from heldout.provider.duties import TRAINING_SHARE, Standing, View
from heldout.provider.making import PROGRESS
from heldout.provider.owner import freezes
from heldout.provider.tools import Tools

log = logging.getLogger(__name__)

SPARE_S = 60.0
"""A training that could stand still no longer than this and make its deadline is at risk."""


class Freezing:
    """Of one node's attempts. Deadlines are reckoned as if a job needed all the seconds that it reserved."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._goes_on: set[JobId] = set()
        """Jobs that must not be frozen again until the owner is gone: no time to spare, or no freezer."""

    def tend(self, view: View) -> Standing | None:
        """Freeze or thaw this job's attempt; None if the owner has nothing against it."""
        job, tools = view.job.id, self._tools
        why = freezes(tools.config.when, tools.senses.wish, tools.senses.conditions)
        if why is None:
            self._goes_on.discard(job)
        at_risk = why is not None and self._spare(view) <= SPARE_S
        if at_risk and tools.config.when.thaw_at_risk:
            self._goes_on.add(job)
        frozen = self._let_stand(job, why is not None and job not in self._goes_on)
        self._note(job, why or "" if frozen else "")
        return None if why is None else Standing(why, frozen, at_risk)

    def _spare(self, view: View) -> float:
        """Seconds that the attempt can stand still yet."""
        manifest = self._tools.materials.manifest(view.job.terms)
        if not isinstance(manifest, Manifest):
            return 0.0
        left = view.job.deadline - view.now - (1 - TRAINING_SHARE) * view.job.terms.workWindow
        needs = manifest.resources.seconds - self._tools.training.worked(view.job.id)
        return left - max(0.0, needs)

    def _let_stand(self, job: JobId, stand: bool) -> bool:
        try:
            return self._tools.training.still(job, stand)
        except SandboxProblem as problem:
            log.warning("job %s cannot be %s: %s", job, "frozen" if stand else "thawed", problem.message)
            self._goes_on.add(job)
            return False

    def _note(self, job: JobId, why: str) -> None:
        """For `status` and `top`."""
        known = self._tools.journal.get(PROGRESS + job) or {}
        if known.get("frozen", "") != why:
            log.info("job %s  %s", job, f"frozen: {why}" if why else "goes on")
            self._tools.journal.put(PROGRESS + job, {"readings": [], "tail": []} | known | {"frozen": why})
