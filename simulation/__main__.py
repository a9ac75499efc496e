"""`python -m heldout.simulation [TABLE ...] [--write | --check]`: what adversaries make, checked against the bytecode.

Prints the tables of docs/mechanism.md; names choose some. `--write` renews page and chart, `--check` compares.
"""

import argparse
import sys
from dataclasses import replace

from heldout.simulation import chart
from heldout.simulation.adversaries import ALL, Adversary
from heldout.simulation.measure import on_bytecode, sampled
from heldout.simulation.page import PAGE, filled
from heldout.simulation.scene import Numbers
from heldout.simulation.tables import TABLES

CHART = PAGE.with_suffix(".svg")
SMALL = Numbers(seats=48, share=0.33)
"""So few seats that every adversary meets itself: what is rare at 10,000 happens here."""
JOBS, SAMPLES = 6, 20


def check_profits(adversary: Adversary) -> int:
    """Plays jobs of one adversary on the bytecode, and jobs with real draws among 10,000 seats. Returns how many.

    Raises AssertionError if a profit differs from what the tables count.
    """
    ours, theirs = on_bytecode(adversary, SMALL, JOBS)
    assert ours == theirs, f"{adversary.name}: rules and bytecode pay differently"
    for played, counted in sampled(adversary, replace(Numbers(), share=0.20), SAMPLES):
        differing = {name for name in played if abs(played[name] - counted[name]) > 1e-6}
        assert not differing, f"{adversary.name}: {differing} differ from what the mean counts"
    return JOBS + SAMPLES


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="./run sim", description="What adversaries make, and what they cost.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"one of: {', '.join(TABLES)} (default: all)")
    parser.add_argument("--write", action="store_true", help="renew docs/mechanism.md and its chart")
    parser.add_argument("--check", action="store_true", help="fail if they are not what is computed now")
    options = parser.parse_args(arguments)
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        parser.error(f"no table called {', '.join(sorted(unknown))}")
    names = options.tables or list(TABLES)
    played = sum(check_profits(adversary) for adversary in (Adversary(), *ALL))
    print(f"{played} jobs of {len(ALL)} adversaries: the same profits in Python, on the bytecode and with real draws\n")
    tables = {name: TABLES[name]().markdown() for name in names}
    for name, text in tables.items():
        print(f"{name}: {(TABLES[name].__doc__ or '').splitlines()[0]}\n\n{text}\n")
    fresh = {PAGE: filled(PAGE.read_text(), tables)} | ({} if options.tables else {CHART: chart.svg()})
    stale = [path for path, text in fresh.items() if not path.exists() or path.read_text() != text]
    for path in stale if options.write else ():
        path.write_text(fresh[path])
    if options.check and stale:
        print(f"out of date: {', '.join(path.name for path in stale)}; renew with ./run sim --write", file=sys.stderr)
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
