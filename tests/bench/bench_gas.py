"""Gas of a whole job on each road (P6.2): what forge measures now, compared as it does so with the snapshot."""

import json
import subprocess
from pathlib import Path

from tests.bench.figure import report

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "contracts/snapshots/Gas.json"
METHOD = "whole job, 3 validators, 1 lane, steady state, deposits out; contracts/test/Gas.t.sol"


def main() -> None:
    subprocess.run(["forge", "test", "--match-path", "contracts/test/Gas.t.sol"], cwd=ROOT, check=True)
    measured = json.loads(SNAPSHOT.read_text())
    for road in ("plain", "relayed", "cooperative"):
        report(f"gas.{road}", int(measured[f"{road}: total"]), "gas", METHOD)


if __name__ == "__main__":
    main()
