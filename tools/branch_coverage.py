"""Branches of the contracts that no test takes, out of forge's lcov: ``python tools/branch_coverage.py LCOV``.

Fails unless every branch is taken both ways, but for those that docs/proofs.md explains as ``File.sol: source line``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/proofs.md"


def untaken(lcov: str) -> tuple[int, set[str]]:
    """(branches there are, those never taken); a branch is named by its file and the text of its line."""
    count, missed, lines, name = 0, set(), [""], ""
    for row in lcov.splitlines():
        if row.startswith("SF:"):
            path = ROOT / row[3:]
            name, lines = path.name, path.read_text().splitlines()
        elif row.startswith("BRDA:"):
            line, _, _, taken = row[5:].split(",")
            count += 1
            if taken in ("-", "0"):
                missed.add(f"{name}: {lines[int(line) - 1].strip()}")
    return count, missed


def main(path: str) -> int:
    count, missed = untaken(Path(path).read_text())
    known = set(re.findall(r"^\| `(\w+\.sol: .+?)` \|", PAGE.read_text(), re.MULTILINE))
    for each in sorted(missed - known):
        print(f"no test takes a branch of {each}", file=sys.stderr)
    print(f"coverage: {count - len(missed)} of {count} branches taken, {len(missed & known)} explained")
    return 0 if count and not missed - known else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
