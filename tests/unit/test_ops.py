"""Files for operators: complete, in the package, and about metrics and commands that exist (issue 5 item 9)."""

import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from heldout.ops.cli import FILES

ROOT = Path(__file__).parents[2]
OPS = files("heldout.ops")
ROOMS = ("market", "provider", "validator", "requester_cli")


def sources() -> str:
    return "\n".join(path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def named(text: str) -> set[str]:
    """Metrics that a query names, without what Prometheus adds to a counter's name."""
    return {name.removesuffix("_total") for name in re.findall(r"heldout_[a-z_]+", text)}


def expressions() -> list[str]:
    rules = yaml.safe_load(OPS.joinpath("alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads(OPS.joinpath("dashboard.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


def help_of(*words: str) -> str:
    command = [sys.executable, "-m", "heldout", *words, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_rules_and_panels_ask_for_metrics_that_nodes_have() -> None:
    exposed = set(re.findall(r'(?:Gauge|Counter)\(\s*"(heldout_[a-z_]+)"', sources()))
    asked = {name for expression in expressions() for name in named(expression)}
    assert asked and asked <= exposed


def test_rules_name_alarms_that_nodes_ring() -> None:
    code = sources()
    for expression in expressions():
        for codes in re.findall(r'code=~?"([^"]+)"', expression):
            for each in codes.split("|"):
                assert f'"{each}"' in code, each


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_in_the_package(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heldout", "ops", "print", name], capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "ops" / name).read_text()


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".service")])
def test_units_start_commands_that_exist(name: str) -> None:
    (start,) = re.findall(r"^ExecStart=/usr/bin/env heldout (\w+ \w+) (.*)$", (ROOT / "ops" / name).read_text(), re.M)
    shown = subprocess.run(
        [sys.executable, "-m", "heldout", *start[0].split(), "--help"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    for flag in re.findall(r"--[a-z-]+", start[1]):
        assert flag in shown.stdout


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_units() -> None:
    units = [str(ROOT / "ops" / name) for name in FILES if name.endswith(".service")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if "heldout" in line]
    assert len(units) == 6 and not told, told


def test_compose_starts_commands_that_exist() -> None:
    services = yaml.safe_load(OPS.joinpath("compose.yaml").read_text())["services"]
    for name in ("store", "market"):
        command = services[name]["command"]
        shown = subprocess.run(
            [sys.executable, "-m", "heldout", *command[:2], "--help"], capture_output=True, text=True
        )
        assert all(word in shown.stdout for word in command if word.startswith("--"))
        assert services[name]["read_only"] and services[name]["cap_drop"] == ["ALL"]
