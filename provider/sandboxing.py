"""The part of `doctor` that attacks this machine's own sandbox, and what the node may offer because of it."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heldout.market.errors import SandboxProblem
from heldout.market.sandbox import STANDARD, EngineFacts, Runner
from heldout.market.sandbox.hostile import Outcome, held_layers, load_manifest
from heldout.provider.shown import Shown, machine_hash

CANNOT_HIDE = (
    "containers share the host's kernel: a standard job reads its version, the size of the memory, the load and the "
    "host's paths in its list of mounts; the strict tier hides them"
)


@dataclass(frozen=True)
class Verdict:
    """What became of the hostile suite in one tier."""

    tier: str
    outcomes: Sequence[Outcome]

    @property
    def held(self) -> set[str]:
        return held_layers(self.outcomes)

    def lines(self) -> Iterator[tuple[str, bool, str]]:
        """For each layer that was asked for: its name, whether what the tier promises held, and that in words."""
        manifest = load_manifest()
        for layer, words in manifest.layers.items():
            tried = [outcome for outcome in self.outcomes if outcome.case.layer == layer]
            got_through = [f"{each.case.what} ({each.answer})" for each in tried if not each.held]
            promised = layer in manifest.tiers[self.tier]
            if layer in self.held:
                yield layer, True, f"held, {len(tried)} cases: {words}"
            elif promised:
                yield layer, False, f"NOT SHOWN: {'; '.join(got_through) or 'not tried'}"
            else:
                yield layer, True, f"not offered: {'; '.join(got_through) or 'not tried'}"


def attack(runner: Runner, image: str, folder: Path, tiers: Sequence[str]) -> Iterator[Verdict]:
    """The whole suite, once for each tier. Raises SandboxProblem if it cannot be run."""
    from heldout.market.sandbox.docker import DockerRunner
    from heldout.market.sandbox.hostile.suite import Suite, loopback_target

    if not isinstance(runner, DockerRunner):
        raise SandboxProblem("this runner isolates nothing: there is nothing to attack")

    async def run(tier: str) -> list[Outcome]:
        await runner.reconcile([])  # what a doctor that was killed left behind
        with loopback_target() as target, runner.derived_images() as derive:
            suite = Suite(runner, image, folder, target, tier, derive=derive)
            return [outcome async for outcome in suite.run()]

    for tier in tiers:
        yield Verdict(tier, asyncio.run(run(tier)))


def record(verdicts: Sequence[Verdict], facts: EngineFacts) -> Shown:
    """The layers that were seen to hold, and nothing else."""
    layers = {verdict.tier: tuple(sorted(verdict.held)) for verdict in verdicts}
    return Shown(machine_of(facts), facts.describe(), int(time.time()), layers)


def machine_of(facts: EngineFacts) -> str:
    """What a record is bound to: engine and runtimes, kernel, this program's profile and suite."""
    from heldout import __version__
    from heldout.market.sandbox import hostile, profile

    here = Path(profile.__file__).parent
    files = [here / "profile.py", here / "seccomp.json", hostile.HERE / "manifest.toml"]
    parts = [facts.describe(), *map(str, sorted(facts.runtimes.items())), os.uname().release, __version__]
    return machine_hash(*parts, *(file.read_text() for file in files))


def offered_tiers(shown: Shown | None, facts: EngineFacts | None, *, devnet: bool) -> frozenset[str]:
    """What a node may bid for. On a devnet, where money is play money, the standard tier needs no showing."""
    able = facts is None or STANDARD in facts.runtimes
    free = frozenset({STANDARD}) if devnet and able else frozenset()
    if shown is None or facts is None or not shown.is_good(machine_of(facts), time.time()):
        return free
    return free | (shown.offered(load_manifest().tiers) & facts.runtimes.keys())
