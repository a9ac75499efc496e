"""A copy of the tree where mutants live and die: the tests are compiled once, a mutant's bytecode is put among them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.mutants.operators import Mutant

ROOT = Path(__file__).resolve().parents[2]
PROFILE = "plain"
DEPLOYED = ("Market.sol", "Resolution.sol", "ValueChain.sol", "HeldToken.sol")
"""Sources whose contracts the tests deploy from an artifact (`vm.getCode`)."""
UNIT_TESTS = "contracts/test/libraries"
"""Tests that have the libraries compiled into themselves."""
SLOW = "^(testFuzz|invariant|test_handler|test_threat17|test_threat24|test_dearest)"
"""Tests that take most of the time, and few mutants get as far."""
SECONDS = 300
"""CPU time that a trial may take: a busy machine kills no mutant. Building takes longer."""


class Compiler:
    """The warm compiler: one request, one answer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        profile = tomllib.loads((root / "foundry.toml").read_text())["profile"]["default"]
        settings = {
            "remappings": profile["remappings"],
            "evmVersion": profile["evm_version"],
            "optimizer": {"enabled": False, "runs": profile["optimizer_runs"]},  # dispatch heeds it all the same
        }
        self.process = subprocess.Popen(
            ["node", str(ROOT / "tools/mutants/compiler.js"), json.dumps(settings)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def compile(self, sources: dict[str, str], want: dict[str, list[str]], ast: bool = False) -> dict[str, Any]:
        """solc's answer; `sources` are given as text, what they import is read from the disk."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"sources": sources, "want": want, "ast": ast}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def trees(self, unit: str) -> dict[str, Any]:
        """The syntax tree of a file and of all that it imports."""
        asts: dict[str, Any] = self.compile({unit: (self.root / unit).read_text()}, {"*": []}, ast=True)["asts"]
        return asts

    def source_trees(self) -> dict[str, Any]:
        """The syntax tree of every source file under contracts/src."""
        trees = (self.trees(f"contracts/src/{name}") for name in DEPLOYED)
        return {file: tree for each in trees for file, tree in each.items() if file.startswith("contracts/src/")}

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Workplace:
    """One worker's tree. Nothing in it is the checkout's own, but node_modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("contracts/src", "contracts/test", "contracts/snapshots", "tests/vectors", "tools"):
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "foundry.toml", folder)
        (folder / "node_modules").symlink_to((ROOT / "node_modules").resolve())
        self.environment = os.environ | {
            "FOUNDRY_PROFILE": PROFILE,
            "FOUNDRY_SOLC": str(ROOT / "tools/solc-shim"),
            "FORGE_SNAPSHOT_CHECK": "false",
            "FORGE_SNAPSHOT_EMIT": "false",
            "FOUNDRY_FUZZ_SEED": "0x25",
            "FOUNDRY_FUZZ_RUNS": "128",
            "FOUNDRY_INVARIANT_RUNS": "16",
        }
        if not self._forge("build", seconds=10 * SECONDS):
            raise SystemExit("the contract tests do not compile")
        self.compiler = Compiler(folder)
        self.out = folder / "contracts/out" / PROFILE
        self.units = self._units()

    def _units(self) -> dict[str, list[str]]:
        """By source file: the units that have its code in them."""
        units = [f"contracts/src/{name}" for name in DEPLOYED]
        units += sorted(str(p.relative_to(self.folder)) for p in (self.folder / UNIT_TESTS).glob("*.sol"))
        users: dict[str, list[str]] = {}
        for unit in units:
            for file in self.compiler.trees(unit):
                users.setdefault(file, []).append(unit)
        return users

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def fate(self, mutant: Mutant) -> str:
        """`stillborn` (does not compile), `same` (same bytecode), `killed` or `survived`."""
        source = mutant.applied_to((self.folder / mutant.file).read_bytes()).decode()
        units = self.units[mutant.file]
        sources = {unit: self.read(unit) for unit in units} | {mutant.file: source}
        answer = self.compiler.compile(sources, {unit: ["*"] for unit in units})
        if "error" in answer:
            return "stillborn"
        kept = self._exchange(answer["contracts"])
        try:
            if not kept:
                return "same"
            return "killed" if self._is_noticed() else "survived"
        finally:
            for path, text in kept.items():
                path.write_text(text)

    def _exchange(self, contracts: dict[str, Any]) -> dict[Path, str]:
        """Put the mutant's code into the artifacts; returns the true ones of those that changed."""
        kept = {}
        for unit, by_name in contracts.items():
            for name, code in by_name.items():
                path = self.out / Path(unit).name / f"{name}.json"
                text = path.read_text()
                artifact = json.loads(text)
                if _without_metadata(artifact["bytecode"]["object"][2:]) == _without_metadata(code["bytecode"]):
                    continue
                kept[path] = text
                for field, object_ in code.items():
                    artifact[field]["object"] = "0x" + object_
                path.write_text(json.dumps(artifact))
        return kept

    def _is_noticed(self) -> bool:
        """Plain tests first, they take a second; then the slow ones, with a fixed seed."""
        plain = ("--no-match-test", SLOW, "--no-match-contract", "GasTest")
        return not self._forge("test", "--fail-fast", *plain) or not self._forge(
            "test", "--fail-fast", "--match-test", SLOW
        )

    def _forge(self, *arguments: str, seconds: int = SECONDS) -> bool:
        """Whether forge succeeded in time. An endless loop is a death like any other."""
        for kind in ("fuzz", "invariant"):  # what failed for the mutant before
            shutil.rmtree(self.folder / "contracts/cache" / PROFILE / kind, ignore_errors=True)
        limited = ("sh", "-c", 'ulimit -t "$0"; exec forge "$@"', str(seconds))
        done = subprocess.run([*limited, *arguments], cwd=self.folder, env=self.environment, capture_output=True)
        return done.returncode == 0

    def check(self, files: Sequence[str]) -> None:
        """The true code passes all tests, and this compiler makes of it what forge made: or killing means nothing."""
        for unit in sorted({unit for file in files for unit in self.units[file]}):
            answer = self.compiler.compile({unit: self.read(unit)}, {unit: ["*"]})
            if self._exchange(answer["contracts"]):
                raise SystemExit(f"{unit}: compiled here and by forge, the code differs")
        if self._is_noticed():
            raise SystemExit("the contract tests fail without any mutant")

    def close(self) -> None:
        self.compiler.close()


def _without_metadata(code: str) -> str:
    """Bytecode without solc's CBOR tails, which hash the sources' text: they differ with every comment."""
    parts = code.split("a2646970667358221220")
    return "|".join([parts[0], *(part[64:] for part in parts[1:])])
