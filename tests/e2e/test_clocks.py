"""Machines whose clocks are wrong (threat 55)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heldout.market.lifecycle import Outcome
from tests.e2e.town import GOOD_ENOUGH, VALIDATORS, Kept, Town, check_ended

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.deep]

FAKETIME = "/usr/$LIB/faketime/libfaketimeMT.so.1"
"""`$LIB` is the dynamic linker's own word for this machine's folder."""


@pytest.fixture(autouse=True)
def faketime() -> None:
    if not list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")):
        assert not os.environ.get("HELDOUT_REQUIRE_FAKETIME"), "./run deep has installed libfaketime"
        pytest.skip("libfaketime is not here")


@contextmanager
def clocks(town: Town, off: dict[str, str]) -> Iterator[None]:
    """Nodes by name, and how far off their clock is, as libfaketime writes it. Time that passes passes as ever."""
    for name, ahead in off.items():
        town.devnet.processes.stop(name)
        town.start(name, LD_PRELOAD=FAKETIME, FAKETIME=ahead, FAKETIME_DONT_FAKE_MONOTONIC="1")
    try:
        yield
    finally:
        for name in off:
            town.devnet.processes.stop(name)
            town.start(name)


def test_a_job_among_wrong_clocks_ends_like_any_other(town: Town) -> None:
    """Deadlines are block time; a sign-in is written by the clock of whom it is for; how long a training has run is
    reckoned in seconds since boot, though the engine stamps its start by a clock ten minutes away from the node's."""
    off = {f"validator-{n}": "-10m" if n % 2 else "+10m" for n in range(VALIDATORS)}
    off["provider-0"] = "+10m"
    with clocks(town, off), Kept(town):
        client, job = town.post("wrong-clocks", **GOOD_ENOUGH)
        ended = town.settle(job)
        check_ended(town, ended, Outcome.MEASURED)
        weights = town.fetch(client, ended)
    assert ended.lanes[0].payout > 0 and weights
    assert len(ended.rounds[0].votes) == 3
