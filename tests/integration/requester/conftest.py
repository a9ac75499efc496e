"""A chain, a store and 24 seats, with no market service and no nodes; a requester and a provider of the test's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.devnet import Devnet
from heldout.market.chain.deposits import deposit
from heldout.market.chain.sender import Outbox
from heldout.market.journal import Journal
from heldout.market.money import ONE_TOKEN, Wei
from heldout.requester_cli.client import Client
from tests.requester_steps import Provider


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Chain, store and 24 seats of stake. No service, no nodes."""
    with Devnet.up(tmp_path_factory.mktemp("keeper") / "devnet", service=False) as running:
        for number in range(8):
            running.stake(number)
        yield running


@pytest.fixture(scope="module")
def provider(town: Devnet) -> Iterator[Provider]:
    keys, chain = town.keys("provider-0"), town.chain()
    with Journal(town.home("provider-0") / "journal") as journal:
        outbox = Outbox(chain, keys.account, journal)
        deposit(chain, outbox, keys.account, Wei(1000 * ONE_TOKEN))
        yield Provider(town, keys, outbox)
    chain.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "digits"
    subprocess.run([sys.executable, "-m", "heldout", "init", "digits", str(folder)], check=True, capture_output=True)
    for script in ("make_data.py", "make_graph.py"):
        subprocess.run([sys.executable, str(folder / script)], check=True, capture_output=True)
    path = folder / "job.toml"
    path.write_text(path.read_text().replace('graph = "', f'image = "sha256:{"00" * 32}"\ngraph = "'))
    return folder


@pytest.fixture
def client(town: Devnet) -> Iterator[Client]:
    with Client(town.network, town.keys("requester"), home=town.home("requester"), journal="keeper") as opened:
        yield opened
        for called, _ in opened._calls:
            opened._calls.forget(called.job)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "digits"))
