"""Slither over the contracts: every finding is explained in docs/proofs.md, by its name or by a pattern of names.

Usage: ``python tools/slither_findings.py SLITHER``, the program's path; forge must be on PATH. Exits 1 if one is not.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/proofs.md"
OPTIONS = (
    "--compile-force-framework=foundry",
    "--filter-paths=node_modules|contracts/test",
    "--exclude-informational",
    "--exclude-optimization",
)


def findings(slither: str) -> set[str]:
    """Each as ``detector: Contract.element``, of what the detector points at first."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "slither.json"
        environment = os.environ | {"FOUNDRY_PROFILE": "plain"}
        done = subprocess.run(
            [slither, ".", *OPTIONS, "--json", str(report)], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        if not report.exists():
            raise SystemExit(done.stderr)
        answer = json.loads(report.read_text())
    if not answer["success"]:
        raise SystemExit(answer["error"])
    return {f"{each['check']}: {name(each['elements'][0])}" for each in answer["results"].get("detectors", [])}


def name(element: dict[str, Any]) -> str:
    """Where it stands, without line numbers: ``Jobs._jobs``, or ``Votes._majority.lead`` for a local variable."""
    names = [element["name"]]
    parent = element.get("type_specific_fields", {}).get("parent")
    while parent and parent["type"] in ("function", "contract"):
        names.append(parent["name"])
        parent = parent.get("type_specific_fields", {}).get("parent")
    return ".".join(reversed(names))


def explained() -> set[str]:
    """The findings in the page's table; a `*` stands for any."""
    return set(re.findall(r"^\| `([\w-]+: [\w.*]+)` \|", PAGE.read_text(), re.MULTILINE))


def main(slither: str) -> int:
    found, patterns = findings(slither), explained()
    unexplained = [each for each in sorted(found) if not any(fnmatch.fnmatchcase(each, one) for one in patterns)]
    for each in unexplained:
        print(f"slither, not explained in docs/proofs.md: {each}", file=sys.stderr)
    for pattern in sorted(one for one in patterns if not fnmatch.filter(found, one)):
        print(f"docs/proofs.md explains what slither does not find any more: {pattern}", file=sys.stderr)
    print(f"slither: {len(found)} findings, {len(unexplained)} unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
