"""Compile the contracts through py-solc-x; write what the Python package ships, and snapshots that a review can read.

Settings, remappings and source names are read from foundry.toml, so the bytecode (metadata hash included) is the same
byte for byte as forge's. Usage: ``python tools/artifacts.py`` writes, ``--check`` compares and exits 1 on a difference.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import solcx

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "market/chain/abi"
SOURCES = {
    "IMarket": "contracts/src/interfaces/IMarket.sol",
    "Market": "contracts/src/Market.sol",
    "Resolution": "contracts/src/Resolution.sol",
    "ValueChain": "contracts/src/ValueChain.sol",
    "HeldToken": "contracts/src/HeldToken.sol",
}
SNAPSHOTS = ROOT / "contracts/snapshots"
DEPLOYED = ("Market", "Resolution", "ValueChain", "HeldToken")
Output = dict[str, dict[str, Any]]


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


def forge_profile() -> dict[str, Any]:
    """foundry.toml: the one place where compiler and settings are chosen."""
    profile: dict[str, Any] = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    return profile


def compiler_settings() -> dict[str, Any]:
    """As the compiler's standard JSON wants them, without a selection of outputs."""
    forge = forge_profile()
    return {
        "remappings": forge["remappings"],
        "optimizer": {"enabled": forge["optimizer"], "runs": forge["optimizer_runs"]},
        "evmVersion": forge["evm_version"],
        "viaIR": forge["additional_compiler_profiles"][0]["via_ir"],
        "metadata": {"useLiteralContent": False, "bytecodeHash": "ipfs", "appendCBOR": True},
    }


def compile_sources() -> Output:
    """The compiler's output by source path and contract name; immutables under their names."""
    code = ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
    wanted = {"*": {"*": ["abi", "storageLayout", *code], "": ["ast"]}}
    output: dict[str, Any] = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {path: {"content": (ROOT / path).read_text()} for path in SOURCES.values()},
            "settings": {**compiler_settings(), "outputSelection": wanted},
        },
        solc_binary=find_compiler(forge_profile()["solc"]),
        base_path=ROOT,
        allow_paths=ROOT,
    )
    names = {str(number): name for unit in output["sources"].values() for number, name in immutables(unit["ast"])}
    contracts: Output = output["contracts"]
    for contract in itertools.chain.from_iterable(unit.values() for unit in contracts.values()):
        deployed = contract["evm"]["deployedBytecode"]
        places = deployed.get("immutableReferences", {})
        deployed["immutableReferences"] = {names[number]: found for number, found in places.items()}
    return contracts


def immutables(node: Any) -> Iterator[tuple[int, str]]:
    """Number and name of every immutable that an AST declares."""
    if isinstance(node, dict):
        if node.get("nodeType") == "VariableDeclaration" and node.get("mutability") == "immutable":
            yield node["id"], node["name"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from immutables(part)


def artifacts(output: Output) -> dict[str, dict[str, Any]]:
    """By contract name what a file of `abi/` holds; code is 0x-hex.

    Immutables are 0 in `deployedBytecode`; their places are lists of first byte and length, by name.
    """
    found = {}
    for name, path in SOURCES.items():
        contract = output[path][name]
        deployed = contract["evm"]["deployedBytecode"]
        places = {
            immutable: sorted([part["start"], part["length"]] for part in parts)
            for immutable, parts in sorted(deployed["immutableReferences"].items())
        }
        found[name] = {
            "contract": name,
            "source": path,
            "abi": interface(output) if name == "Market" else contract["abi"],
            "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
            "deployedBytecode": "0x" + deployed["object"],
            "immutables": places,
        }
    return found


def interface(output: Output) -> list[dict[str, Any]]:
    """The ABI behind Market's address: its own, and that of Resolution, to whose code its fallback leads."""
    own, rest = (output[SOURCES[name]][name]["abi"] for name in ("Market", "Resolution"))
    more = [entry for entry in rest if entry not in own and entry["type"] != "constructor"]
    return [entry for entry in own if entry["type"] != "fallback"] + more


def signature(entry: dict[str, Any]) -> str:
    """An ABI entry on one line, e.g. ``function pin(bytes32)``; tuples by the name of their struct."""

    def shown(part: dict[str, Any]) -> str:
        kind: str = part["internalType"] if part["type"].startswith("tuple") else part["type"]
        return kind.split(" ")[-1].split(".")[-1] + (" indexed" if part.get("indexed") else "")

    returns = ",".join(map(shown, entry.get("outputs", [])))
    mutability = "" if entry.get("stateMutability", "nonpayable") == "nonpayable" else f" {entry['stateMutability']}"
    call = f"{entry['type']} {entry.get('name', '')}({','.join(map(shown, entry['inputs']))})"
    return call + mutability + (f" returns ({returns})" if returns else "")


def storage(layout: dict[str, Any]) -> list[str]:
    """Variables and struct members, one a line: slot, offset in bytes, type, name."""

    def lines(variables: list[dict[str, Any]], owner: str) -> list[str]:
        types = layout["types"]
        return [
            f"{owner}{v['label']}: slot {v['slot']} byte {v['offset']} {types[v['type']]['label']}" for v in variables
        ]

    structs = [kind for kind in layout["types"].values() if "members" in kind]
    members = [line for kind in structs for line in lines(kind["members"], kind["label"].split(".")[-1] + ".")]
    return lines(layout["storage"], "") + sorted(members)


def snapshots(output: Output) -> dict[Path, str]:
    """Interface, storage layout and code sizes: what a change of them changes, a diff shows."""
    market = output[SOURCES["Market"]]["Market"]
    code = {name: output[SOURCES[name]][name]["evm"]["deployedBytecode"]["object"] for name in DEPLOYED}
    sizes = [f"{name}: {len(each) // 2} of 24576 bytes" for name, each in code.items()]
    texts = {
        "abi": sorted(map(signature, interface(output))),
        "storage": storage(market["storageLayout"]),
        "sizes": sizes,
    }
    return {SNAPSHOTS / f"{name}.txt": "\n".join(lines) + "\n" for name, lines in texts.items()}


def render(artifact: dict[str, Any]) -> str:
    """The text of an artifact file: sorted nowhere, since the compiler's order is already fixed."""
    return json.dumps(artifact, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write artifacts and snapshots, or compare them with the committed ones; returns the exit code."""
    output = compile_sources()
    texts = {FOLDER / f"{name}.json": render(artifact) for name, artifact in artifacts(output).items()}
    texts |= snapshots(output)
    if "--check" in arguments:
        stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)} (run: python tools/artifacts.py)", file=sys.stderr)
        return 1 if stale else 0
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
