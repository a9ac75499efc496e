"""Devices through a plug-in installed like any other: found by its entry point, granted by number (issue 5 item 8)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heldout.market.sandbox import STRICT, SandboxRefused, open_runner
from tests.sandbox_jobs import SMALL, Bench

pytestmark = [pytest.mark.integration, pytest.mark.docker]

PLUGIN = """
from heldout.market.sandbox.accelerators import Device, Grant

NODES = {"mock-0": "/dev/zero", "mock-1": "/dev/full", "mock-2": "/dev/null"}

class Mock:
    '''Three devices that every machine has, shown as /dev/mock-N.'''
    tiers = ("standard",)

    def devices(self):
        return [Device(name, node) for name, node in NODES.items()]

    def grant(self, chosen):
        devices = [f"{NODES[name]}:/dev/{name}:rw" for name in chosen]
        return Grant(devices=devices, environment={"MOCK_VISIBLE": ",".join(chosen)})
"""
LOOK = (
    "import os; print(sorted(n for n in os.listdir('/dev') if 'mock' in n), os.environ.get('MOCK_VISIBLE'), flush=True)"
)


@pytest.fixture
def bench(job_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    (tmp_path / "mock_accelerator.py").write_text(PLUGIN)
    described = tmp_path / "mock_accelerator-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: mock-accelerator\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[heldout.accelerators]\nmock = mock_accelerator:Mock\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    bench = Bench(
        open_runner("docker", tmp_path / "state", chain_id=1, accelerator="mock"), job_image, tmp_path / "work"
    )
    yield bench
    asyncio.run(bench.clear())
    sys.modules.pop("mock_accelerator", None)


def test_a_job_sees_the_devices_it_was_granted_and_no_others(bench: Bench) -> None:
    report, log = asyncio.run(bench.run(bench.spec(LOOK, limits=replace(SMALL, gpus=2))))
    assert log == ["['mock-0', 'mock-1'] mock-0,mock-1"] and report.devices == ("mock-0", "mock-1")
    _, log = asyncio.run(bench.run(bench.spec(LOOK)))
    assert log == ["[] None"]


def test_no_two_running_jobs_hold_the_same_device(bench: Bench) -> None:
    async def life() -> None:
        two, one = replace(SMALL, gpus=2), replace(SMALL, gpus=1)
        holder = await bench.runner.start(bench.spec("import time; time.sleep(60)", job="holder", limits=two))
        _, log = await bench.run(bench.spec(LOOK, job="other", limits=one))
        assert log == ["['mock-2'] mock-2"]
        with pytest.raises(SandboxRefused, match="1 of 3 are free"):
            await bench.runner.start(bench.spec(LOOK, job="third", limits=two))
        await bench.runner.stop(holder, 0)
        _, log = await bench.run(bench.spec(LOOK, job="third", limits=two))
        assert log == ["['mock-0', 'mock-1'] mock-0,mock-1"]

    asyncio.run(life())


def test_a_device_of_another_tier_is_refused(bench: Bench) -> None:
    with pytest.raises(SandboxRefused):
        asyncio.run(bench.runner.start(bench.spec(LOOK, limits=replace(SMALL, gpus=1), tier=STRICT)))
