"""The packaged hostile suite, case by case, on the engines of this machine, and on a naive container for contrast.

Threat rows 58, 59, 60, 66 and 82; issue 5 item 1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from heldout.market.sandbox import STANDARD, STRICT
from heldout.market.sandbox.docker import DockerRunner
from heldout.market.sandbox.hostile import PROGRAMS, Case, Outcome, held_layers, load_manifest
from heldout.market.sandbox.hostile.suite import Suite, Target, loopback_target
from tests.attacks.sandbox.naive import listener, naive_options
from tests.engines import podman_service, require, runner_of
from tests.honest_jobs import HONEST, program
from tests.sandbox_jobs import Bench

pytestmark = [pytest.mark.attack, pytest.mark.docker]
MANIFEST = load_manifest()
Outcomes = Mapping[str, Outcome]


def promised(tier: str) -> list[Case]:
    return [case for case in MANIFEST.cases if case.layer in MANIFEST.tiers[tier]]


def named(case: Case) -> str:
    return f"{case.id} {case.what}"


def attacked(runner: DockerRunner, image: str, folder: Path, target: Target, tier: str = STANDARD) -> Outcomes:
    async def run() -> Outcomes:
        with runner.derived_images() as derive:
            suite = Suite(runner, image, folder, target, tier, derive=derive)
            return {outcome.case.id: outcome async for outcome in suite.run()}

    return asyncio.run(run())


def on_this_machine(kind: str, tier: str, image: str, folder: Path, address: str = "") -> Outcomes:
    runner = runner_of(kind, folder / "state", address)
    assert isinstance(runner, DockerRunner)
    with loopback_target() as target:
        return attacked(runner, image, folder / "work", target, tier)


@pytest.fixture(scope="module")
def standard(job_image: str, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return on_this_machine("docker", STANDARD, job_image, tmp_path_factory.mktemp("standard"))


@pytest.fixture(scope="module")
def naive(job_image: str, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    folder = tmp_path_factory.mktemp("naive")
    with listener(job_image) as (network, target):
        return attacked(
            DockerRunner(folder / "state", profile=naive_options(network)), job_image, folder / "work", target
        )


@pytest.mark.parametrize("case", promised(STANDARD), ids=named)
def test_the_standard_tier_contains(case: Case, standard: Outcomes) -> None:
    assert standard[case.id].answer in case.held


@pytest.mark.parametrize("case", [case for case in MANIFEST.cases if case.bites], ids=named)
def test_a_naive_container_does_not_contain(case: Case, naive: Outcomes) -> None:
    """The suite bites: with the engine's defaults these get through."""
    assert not naive[case.id].held, naive[case.id].answer


def test_a_naive_container_would_be_offered_for_nothing(naive: Outcomes) -> None:
    shown = held_layers(list(naive.values()))
    assert not any(set(layers) <= shown for layers in MANIFEST.tiers.values())
    assert sum(not outcome.held for outcome in naive.values()) > len(naive) / 3


def test_what_the_host_shows_is_said_and_not_promised(standard: Outcomes) -> None:
    """Hostile case 28: containers share the host's kernel, so `standard` does not claim to hide it."""
    assert not standard["28"].held and "kernel" not in MANIFEST.tiers[STANDARD]
    assert "kernel" in MANIFEST.tiers[STRICT]


def test_the_suite_has_the_44_cases_of_the_threat_model_and_more() -> None:
    numbers = {int("".join(c for c in case.id if c.isdigit())) for case in MANIFEST.cases}
    assert set(range(1, 45)) - numbers == {16, 17}  # asked together with 15: one job ignores them all
    assert len({case.id for case in MANIFEST.cases}) == len(MANIFEST.cases) > 70


def test_every_program_is_run_and_every_layer_is_asked_for() -> None:
    programs = {path.stem for path in PROGRAMS.glob("*.py")} - {"hostile"}
    assert programs == {attack.program for attack in MANIFEST.attacks}
    assert {case.layer for case in MANIFEST.cases} == set(MANIFEST.layers)
    assert {layer for layers in MANIFEST.tiers.values() for layer in layers} <= set(MANIFEST.layers)


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["docker-volume", "docker-strict", "podman"])
def test_every_other_engine_contains_all_that_its_tier_promises(kind: str, job_image: str, tmp_path: Path) -> None:
    """Issue 5 item 3: one interface, one suite."""
    require(kind)
    tier = STRICT if kind == "docker-strict" else STANDARD
    if kind == "podman":
        with podman_service(tmp_path, job_image) as address:
            outcomes = on_this_machine(kind, tier, job_image, tmp_path, address)
    else:
        outcomes = on_this_machine(kind, tier, job_image, tmp_path)
    assert {named(case): outcomes[case.id].answer for case in promised(tier) if not outcomes[case.id].held} == {}


def test_the_suite_takes_less_than_two_minutes(job_image: str, tmp_path: Path) -> None:
    """Issue 5 item 2, on one of its attacks: the whole of it is as many as there are programs."""
    started = time.monotonic()
    runner = runner_of("docker", tmp_path / "state")
    assert isinstance(runner, DockerRunner)

    async def first() -> Outcome:
        with loopback_target() as target:
            outcomes = Suite(runner, job_image, tmp_path / "work", target).run()
            outcome = await anext(outcomes)
            await outcomes.aclose()
            return outcome

    assert asyncio.run(first()).held
    assert (time.monotonic() - started) * len(MANIFEST.attacks) < 120


@pytest.mark.parametrize("tier", [STANDARD, pytest.param(STRICT, marks=pytest.mark.deep)])
def test_ten_honest_jobs_raise_no_false_alarm(tier: str, job_image: str, tmp_path: Path) -> None:
    """Issue 5: none is killed, none meets a limit, and the weights of all are taken."""
    require("docker" if tier == STANDARD else "docker-strict")
    bench = Bench(runner_of("docker", tmp_path / "state"), job_image, tmp_path / "work", tier=tier)

    async def hindered() -> dict[str, str]:
        found = {}
        for number, (what, body) in enumerate(HONEST.items()):
            handle = await bench.runner.start(bench.spec(program(body), job=f"honest-{number}"))
            report = await bench.runner.wait(handle)
            if not report.ok or report.excess:
                lines = [line async for line in bench.runner.logs(handle)]
                found[what] = f"{report.describe()}: {lines[-3:]}"
            else:
                await bench.runner.collect(handle)
        await bench.clear()
        return found

    assert asyncio.run(hindered()) == {} and len(HONEST) == 10
