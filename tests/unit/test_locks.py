"""The lock files install anywhere: no addresses in them, and nothing that an older npm would silently leave out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON_LOCKS = ("requirements.lock", "requirements-brownie.txt")


def test_no_lock_names_a_host() -> None:
    assert not [name for name in PYTHON_LOCKS if "://" in (ROOT / name).read_text()]
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert not [path for path, package in packages.items() if "resolved" in package]


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_every_pinned_version_is_exact(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins and all(pin.count("==") == 1 and " " not in pin for pin in pins)


def test_the_contract_tools_are_not_left_out_on_nodes_before_20() -> None:
    """npm drops an optional package whose `engines` do not fit, without a word, and Debian 12 has Node 18.

    These are native programs: the field, which `npm install` writes, means nothing for them. Take it out again.
    """
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    tools = {path: package for path, package in packages.items() if "/@foundry-rs/" in path}
    assert {path.rsplit("/", 1)[1].split("-")[0] for path in tools} == {"anvil", "cast", "forge"}
    assert not [path for path, package in tools.items() if "engines" in package]
