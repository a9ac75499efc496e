"""What became of each mutant, a line of JSON as soon as it is known: a run that was cut off goes on from there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tools.mutants.operators import Mutant


def hash_of(folder: Path) -> str:
    """SHA-256 over the paths and bytes of all Solidity files below `folder`."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.sol")):
        content = path.read_bytes()
        total.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


class Record:
    """Fates that hold: of the same sources, and for a survivor of the same tests. More tests let no dead one live."""

    def __init__(self, path: Path | None, contracts: Path) -> None:
        self.path = path
        self.sources, self.tests = hash_of(contracts / "src"), hash_of(contracts / "test")
        self.fates: dict[str, str] = {}  # by the mutant's name
        for line in path.read_text().splitlines() if path and path.exists() else []:
            try:
                told = json.loads(line)
            except ValueError:
                continue  # cut off while it was written
            if told["sources"] == self.sources and (told["fate"] != "survived" or told["tests"] == self.tests):
                self.fates[told["mutant"]] = told["fate"]

    def add(self, mutant: Mutant, fate: str) -> None:
        """Note it, and append its line to the file, if there is one."""
        self.fates[mutant.name] = fate
        if self.path is None:
            return
        told = {"mutant": mutant.name, "fate": fate, "sources": self.sources, "tests": self.tests}
        cut = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            file.write("\n" * cut + json.dumps(told) + "\n")
