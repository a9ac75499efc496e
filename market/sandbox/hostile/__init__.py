"""The sandbox, attacked by its owner: programs that try what no job may, and what must become of each.

    manifest.toml   every case: what it tries, which layer must hold it, the answers that mean it held
    programs/       the programs, each a job of its own; several ask many questions
    suite.py        runs them in a runner and judges

`heldout provider doctor` runs the suite in the sandbox that strangers' jobs get, and offers only what it saw hold.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from heldout.market.sandbox.runtimes import STRICT

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a hostile job tries. `bites`: a container with the engine's defaults does not hold it."""

    id: str
    what: str
    layer: str
    held: tuple[str, ...]
    judge: str = "said"
    file: str = ""
    bites: bool = False
    held_strict: tuple[str, ...] = ()

    def held_by(self, tier: str) -> tuple[str, ...]:
        """The answers that mean that a tier held it."""
        return self.held + (self.held_strict if tier == STRICT else ())


@dataclass(frozen=True, slots=True)
class Attack:
    """One job: a program, limits where they differ from the suite's, and changes to the image it runs in."""

    program: str
    cases: tuple[Case, ...]
    limits: Mapping[str, float] = field(default_factory=dict)
    image: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """`layers` says in words what each holds, `tiers` which of them a tier promises."""

    layers: Mapping[str, str]
    tiers: Mapping[str, tuple[str, ...]]
    attacks: tuple[Attack, ...]

    @property
    def cases(self) -> Sequence[Case]:
        return [case for attack in self.attacks for case in attack.cases]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went. `answer` is what the kernel, the runner or the collector said."""

    case: Case
    answer: str
    tier: str

    @property
    def held(self) -> bool:
        return self.answer in self.case.held_by(self.tier)


@cache
def load_manifest() -> Manifest:
    """The manifest that this package ships."""
    raw = tomllib.loads((HERE / "manifest.toml").read_text())
    return Manifest(
        layers=raw["layers"],
        tiers={tier: tuple(layers) for tier, layers in raw["tiers"].items()},
        attacks=tuple(_attack(attack) for attack in raw["attack"]),
    )


def held_layers(outcomes: Sequence[Outcome]) -> set[str]:
    """Layers of which every case was tried and held."""
    tried = {outcome.case.layer for outcome in outcomes}
    return tried - {outcome.case.layer for outcome in outcomes if not outcome.held}


def _attack(raw: Mapping[str, Any]) -> Attack:
    cases = tuple(_case(case) for case in raw["cases"])
    return Attack(raw["program"], cases, raw.get("limits", {}), tuple(raw.get("image", ())))


def _case(raw: Mapping[str, Any]) -> Case:
    return Case(
        id=raw["id"],
        what=raw["what"],
        layer=raw["layer"],
        held=tuple(raw["held"]),
        judge=raw.get("judge", "said"),
        file=raw.get("file", ""),
        bites=raw.get("naive") == "open",
        held_strict=tuple(raw.get("strict", ())),
    )
