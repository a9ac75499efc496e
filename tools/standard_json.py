"""The compiler's standard JSON input of one contract, for block explorers: settings and every source it needs.

Usage: ``python tools/standard_json.py Market > Market.json``. It compiles to the bytecode that ships.
"""

from __future__ import annotations

import json
import posixpath
import re
import runpy
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS: dict[str, Any] = runpy.run_path(str(ROOT / "tools/artifacts.py"))
_IMPORT = re.compile(r"""^\s*import\b[^;'"]*["']([^"']+)["']""", re.MULTILINE)


def standard_json(contract: str) -> dict[str, Any]:
    """``{"language", "sources", "settings"}``. Raises KeyError for a contract that does not ship."""
    settings = ARTIFACTS["compiler_settings"]()
    sources: dict[str, dict[str, str]] = {}
    _gather(ARTIFACTS["SOURCES"][contract], settings["remappings"], sources)
    outputs = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]
    selection = {ARTIFACTS["SOURCES"][contract]: {contract: outputs}}
    return {
        "language": "Solidity",
        "sources": dict(sorted(sources.items())),
        "settings": {**settings, "outputSelection": selection},
    }


def _gather(unit: str, remappings: list[str], sources: dict[str, dict[str, str]]) -> None:
    """`unit` and, depth first, whatever it imports, under the names the compiler gives them."""
    if unit in sources:
        return
    text = (ROOT / unit).read_text()
    sources[unit] = {"content": text}
    for target in _IMPORT.findall(text):
        name = posixpath.normpath(posixpath.join(posixpath.dirname(unit), target)) if target[0] == "." else target
        for remapping in remappings:
            prefix, _, place = remapping.partition("=")
            name = place + name.removeprefix(prefix) if name.startswith(prefix) else name
        _gather(name, remappings, sources)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ARTIFACTS["SOURCES"]:
        sys.exit(f"usage: python tools/standard_json.py {{{','.join(ARTIFACTS['SOURCES'])}}}")
    print(json.dumps(standard_json(sys.argv[1]), indent=1))
