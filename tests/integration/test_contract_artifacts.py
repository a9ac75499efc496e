"""The contracts that ship inside the Python package are those of the sources, byte for byte."""

from __future__ import annotations

import json
import runpy
import subprocess
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
EIP_170 = 24_576
NAMES = ["IMarket", "Market", "Resolution", "ValueChain", "HeldToken"]


TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools/artifacts.py"))
STANDARD_JSON: dict[str, Any] = runpy.run_path(str(ROOT / "tools/standard_json.py"))


@pytest.fixture(scope="module")
def output() -> Any:
    """What py-solc-x makes of the sources now, under foundry.toml's settings."""
    return TOOL["compile_sources"]()


def committed(name: str) -> dict[str, Any]:
    artifact: dict[str, Any] = json.loads((ROOT / f"market/chain/abi/{name}.json").read_text())
    return artifact


def test_artifacts_travel_in_the_wheel() -> None:
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "abi/*.json" in package_data["heldout.market.chain"]


@pytest.mark.parametrize(
    "name", ["ValueChain", *(pytest.param(slow, marks=pytest.mark.deep) for slow in ("Market", "Resolution"))]
)
def test_a_block_explorer_s_input_compiles_to_the_bytecode_that_ships(name: str) -> None:
    """Nothing but the input: the compiler finds no file of this checkout."""
    source = STANDARD_JSON["standard_json"](name)
    compiler = TOOL["find_compiler"](TOOL["forge_profile"]()["solc"])
    words = [str(compiler), "--standard-json"]
    with TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            words, input=json.dumps(source), cwd=elsewhere, capture_output=True, text=True, check=True
        )
    code = json.loads(done.stdout)["contracts"][committed(name)["source"]][name]["evm"]
    assert "0x" + code["bytecode"]["object"] == committed(name)["bytecode"]
    assert "0x" + code["deployedBytecode"]["object"] == committed(name)["deployedBytecode"]


@pytest.mark.parametrize("name", NAMES)
def test_a_rebuild_gives_the_committed_artifact_byte_for_byte(name: str, output: Any) -> None:
    assert TOOL["artifacts"](output)[name] == committed(name), "run: python tools/artifacts.py"


def test_interface_storage_and_sizes_are_those_of_the_snapshots(output: Any) -> None:
    for path, text in TOOL["snapshots"](output).items():
        assert path.read_text() == text, "run: python tools/artifacts.py"


def test_resolution_finds_markets_storage_where_market_left_it(output: Any) -> None:
    """Resolution runs by delegatecall: one variable elsewhere, and it would pay out of another job's slots."""
    market = TOOL["storage"](output["contracts/src/Market.sol"]["Market"]["storageLayout"])
    resolution = TOOL["storage"](output["contracts/src/Resolution.sol"]["Resolution"]["storageLayout"])
    assert any(line.startswith("_jobs: ") for line in resolution)
    assert set(resolution) <= set(market)


@pytest.mark.parametrize("name", NAMES[1:])
def test_deployed_code_fits_into_one_contract(name: str) -> None:
    assert 0 < (len(committed(name)["deployedBytecode"]) - 2) // 2 <= EIP_170


@pytest.mark.parametrize("name", NAMES[1:])
def test_immutables_are_named_and_their_places_are_zero_in_the_shipped_code(name: str) -> None:
    artifact = committed(name)
    code = bytes.fromhex(artifact["deployedBytecode"][2:])
    places = [place for found in artifact["immutables"].values() for place in found]
    assert places and all(length == 32 and not any(code[start : start + length]) for start, length in places)


def test_market_has_every_function_event_and_error_of_its_interface() -> None:
    def signatures(name: str) -> set[str]:
        def types(entries: list[dict[str, Any]]) -> list[Any]:
            return [(each["type"], each.get("indexed"), types(each.get("components", []))) for each in entries]

        kinds = ("function", "event", "error")
        abi = [entry for entry in committed(name)["abi"] if entry["type"] in kinds]
        return {
            f"{each['type']} {each['name']} {types(each['inputs'])} {types(each.get('outputs', []))}" for each in abi
        }

    assert len(signatures("IMarket")) > 100
    assert not signatures("IMarket") - signatures("Market")
