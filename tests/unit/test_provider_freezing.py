"""The owner before the job, the collateral before the owner (issue 5 item 9)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from builders import JOB

from heldout.market.manifest import Manifest, Resources, TaskFile
from heldout.market.sandbox import SandboxRefused
from heldout.provider.duties import Standing
from heldout.provider.freezing import SPARE_S, Freezing
from heldout.provider.making import PROGRESS
from heldout.provider.owner import Conditions, When, Wish, freezes

NOON = Conditions(minute=12 * 60, idle_minutes=0.0)
AWAY = Conditions(minute=12 * 60, idle_minutes=60.0)
SECONDS = 1000
TASK = Manifest(
    files=(),
    image={},
    command=("python",),
    resources=Resources(1, 1, 1, 0, SECONDS),
    graph=TaskFile("model.onnx", "0" * 64, 1),
    metric="accuracy",
    scorer="score-v1",
)


class House:
    """An owner, one job, and an engine that freezes it, or cannot."""

    def __init__(self, when: When, *, has_freezer: bool = True) -> None:
        self.frozen, self.has_freezer, self.worked, self.calls = False, has_freezer, 0.0, 0
        self.journal: dict[str, Any] = {}
        self.senses = SimpleNamespace(wish=Wish.WORK, conditions=NOON)
        tools: Any = SimpleNamespace(
            config=SimpleNamespace(when=when),
            senses=self.senses,
            training=SimpleNamespace(still=self._still, worked=lambda job: self.worked),
            materials=SimpleNamespace(manifest=lambda terms: TASK),
            journal=SimpleNamespace(get=self.journal.get, put=self.journal.__setitem__),
            clock=lambda: 0.0,
        )
        self.freezing = Freezing(tools)

    def _still(self, job: str, stand: bool) -> bool:
        self.calls += 1
        if stand and not self.has_freezer:
            raise SandboxRefused("no freezer")
        self.frozen = stand
        return stand

    def look(self, left: float = 1e6) -> Standing | None:
        """One cycle, `left` seconds before the job's deadline."""
        terms = SimpleNamespace(workWindow=0)
        view: Any = SimpleNamespace(job=SimpleNamespace(id=JOB, terms=terms, deadline=left), now=0.0)
        return self.freezing.tend(view)

    @property
    def shown(self) -> str:
        return str(self.journal.get(PROGRESS + JOB, {}).get("frozen", ""))


def test_only_what_the_owner_asked_for_freezes() -> None:
    idle = When(idle_minutes=10)
    assert freezes(idle, Wish.WORK, NOON) is None, "without freeze = true [when] is about new work"
    assert "somebody used this machine" in (freezes(When(idle_minutes=10, freeze=True), Wish.WORK, NOON) or "")
    assert freezes(When(idle_minutes=10, freeze=True), Wish.WORK, AWAY) is None
    assert "told it to freeze" in (freezes(When(), Wish.FREEZE, AWAY) or "")
    for wish in (Wish.PAUSE, Wish.DRAIN, Wish.LEAVE):
        assert freezes(When(freeze=True), wish, AWAY) is None, "what was promised goes on"


def test_a_job_stands_still_while_the_owner_is_here_and_goes_on_after() -> None:
    house = House(When(idle_minutes=10, freeze=True))
    assert house.look() == Standing(house.shown, frozen=True, at_risk=False)
    assert house.frozen and "somebody used this machine" in house.shown
    house.senses.conditions = AWAY
    assert house.look() is None and not house.frozen and house.shown == ""


def test_a_job_without_time_to_spare_goes_on_with_an_alarm_until_the_owner_is_gone() -> None:
    house = House(When(idle_minutes=10, freeze=True))
    house.worked = 400.0
    needs = SECONDS - house.worked
    assert house.look(left=needs + SPARE_S + 1) and house.frozen
    standing = house.look(left=needs + SPARE_S)
    assert standing is not None and standing.at_risk and not standing.frozen and not house.frozen
    assert house.look(left=needs + SPARE_S + 5) and not house.frozen, "it does not flicker"
    house.senses.conditions = AWAY
    assert house.look() is None
    house.senses.conditions = NOON
    assert house.look() and house.frozen


def test_an_owner_may_rather_lose_the_collateral() -> None:
    house = House(When(idle_minutes=10, freeze=True, thaw_at_risk=False))
    assert house.look(left=1.0) == Standing(house.shown, frozen=True, at_risk=True)


def test_without_a_freezer_the_job_goes_on_and_is_not_tried_each_cycle() -> None:
    house = House(When(idle_minutes=10, freeze=True), has_freezer=False)
    for _ in range(3):
        standing = house.look()
        assert standing is not None and not standing.frozen and house.shown == ""
