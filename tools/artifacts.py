"""Compile the contracts through py-solc-x and write what the Python package ships: one JSON per contract.

Settings, remappings and source names are read from foundry.toml, so the bytecode (metadata hash included) is the same
byte for byte as forge's. Usage: ``python tools/artifacts.py`` writes, ``--check`` compares and exits 1 on a difference.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import solcx

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "market/chain/abi"
SOURCES = {
    "IMarket": "contracts/src/interfaces/IMarket.sol",
    "Market": "contracts/src/Market.sol",
    "HeldToken": "contracts/src/HeldToken.sol",
}


def find_compiler(version: str) -> Path:
    """Path of the compiler: $SOLC, py-solc-x's own folder, PATH, else npm's build behind tools/solc-shim.

    A compiler of another version is passed over, except one that $SOLC names: that is the caller's word.
    """
    if named := os.environ.get("SOLC"):
        return Path(named)
    if any(str(found) == version for found in solcx.get_installed_solc_versions()):
        return Path(solcx.install.get_executable(version))
    native = shutil.which("solc")
    if native and str(solcx.wrapper.get_solc_version(native)) == version:
        return Path(native)
    return ROOT / "tools/solc-shim"


def compile_all() -> dict[str, dict[str, Any]]:
    """Artifacts by contract name: ``{"contract", "source", "abi", "bytecode", "deployedBytecode"}``, code as 0x-hex."""
    forge = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    settings = {
        "remappings": forge["remappings"],
        "optimizer": {"enabled": forge["optimizer"], "runs": forge["optimizer_runs"]},
        "evmVersion": forge["evm_version"],
        "viaIR": forge.get("via_ir", False),
        "metadata": {"useLiteralContent": False, "bytecodeHash": "ipfs", "appendCBOR": True},
        "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
    }
    output = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {path: {"content": (ROOT / path).read_text()} for path in SOURCES.values()},
            "settings": settings,
        },
        solc_binary=find_compiler(forge["solc"]),
        base_path=ROOT,
        allow_paths=ROOT,
    )
    artifacts = {}
    for name, path in SOURCES.items():
        contract = output["contracts"][path][name]
        artifacts[name] = {
            "contract": name,
            "source": path,
            "abi": contract["abi"],
            "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
            "deployedBytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
        }
    return artifacts


def render(artifact: dict[str, Any]) -> str:
    """The text of an artifact file: sorted nowhere, since the compiler's order is already fixed."""
    return json.dumps(artifact, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write the artifacts, or compare them with the committed ones; returns the exit code."""
    texts = {FOLDER / f"{name}.json": render(artifact) for name, artifact in compile_all().items()}
    if "--check" in arguments:
        stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)} (run: python tools/artifacts.py)", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
