"""The lock files install anywhere: no addresses in them, and nothing that an older npm would silently leave out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON_LOCKS = ("requirements.lock", "requirements-brownie.txt", "requirements-sec.txt")
HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}")


def test_no_lock_names_a_host() -> None:
    assert not [name for name in PYTHON_LOCKS if "://" in (ROOT / name).read_text()]
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert not [path for path, package in packages.items() if "resolved" in package]


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_every_pinned_version_is_exact_and_known_by_its_bytes(name: str) -> None:
    """Threat 84: pip is told to ask for hashes (`install_locked` in ./run), so each version needs at least one."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace(" \\\n", "\n")
    pins = re.split(r"\n(?=\S)", text.rstrip())
    assert len(pins) > 50
    for pin in pins:
        version, *hashes = pin.split("\n")
        assert re.fullmatch(r"[\w.-]+==[\w.]+", version)
        assert hashes and all(HASH.fullmatch(line) for line in hashes)


def test_what_is_locked_is_installed_by_its_hashes() -> None:
    """Threat 84."""
    script = (ROOT / "run").read_text()
    assert 'pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$2"' in script
    assert set(re.findall(r"^ +install_locked \S+ (\S+)$", script, re.MULTILINE)) == {*PYTHON_LOCKS}


def test_the_contract_tools_are_not_left_out_on_nodes_before_20() -> None:
    """npm drops an optional package whose `engines` do not fit, without a word, and Debian 12 has Node 18.

    These are native programs: the field, which `npm install` writes, means nothing for them. Take it out again.
    """
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    tools = {path: package for path, package in packages.items() if "/@foundry-rs/" in path}
    assert {path.rsplit("/", 1)[1].split("-")[0] for path in tools} == {"anvil", "cast", "forge"}
    assert not [path for path, package in tools.items() if "engines" in package]
