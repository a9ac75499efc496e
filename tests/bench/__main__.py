"""`./run bench`: every `bench_*.py` beside this file, one after the other.

Each is a program that prints words for people on stderr and one JSON object a line on stdout:
`{"name", "value", "unit", "method"}`. Ratios compare two things measured in turn in one run, never absolute times.
Usage: `python -m tests.bench [NAME ...]`, NAME being the file's name without `bench_`.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    known = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no such bench: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or known:
        print(f"\n== {name}", file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.bench.bench_{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
