"""How many mutants of the contracts the contract tests kill: ``python -m tools.mutants``; see docs/mutants.md.

Prints one JSON line. Fails if fewer than --least die or, where all were tried, if one survives that docs/mutants.md
does not explain.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.figure import report
from tools.mutants.operators import Mutant, mutants_of
from tools.mutants.record import Record
from tools.mutants.workplace import ROOT, Compiler, Workplace

PAGE = ROOT / "docs/mutants.md"


def explained() -> set[str]:
    """The names of the survivors that the page's table explains."""
    rows = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(), re.MULTILINE) if PAGE.exists() else []
    return {row.replace("\\|", "|") for row in rows}


def all_mutants(compiler: Compiler) -> list[Mutant]:
    """All wrong changes of contracts/src, as it is where the compiler runs."""
    trees = compiler.source_trees()
    return [
        each for file in sorted(trees) for each in mutants_of(file, (compiler.root / file).read_bytes(), trees[file])
    ]


def chosen(mutants: list[Mutant], pattern: str, sample: int, seed: int) -> list[Mutant]:
    """Those in files that match, all or a sample; shuffled, so that a part of a run tells of the whole."""
    found = [mutant for mutant in mutants if re.search(pattern, mutant.file)]
    return random.Random(seed).sample(found, min(sample or len(found), len(found)))


def try_all(folder: Path, jobs: int, first: Workplace, mutants: list[Mutant], record: Record) -> None:
    """Note what becomes of each, with `jobs` of them at a time."""
    places = [first] + [Workplace(folder / str(i)) for i in range(1, min(jobs, len(mutants)))]
    free, lock = list(places), threading.Lock()
    tried = 0

    def one(mutant: Mutant) -> None:
        nonlocal tried
        with lock:
            place = free.pop()
        fate = place.fate(mutant)
        with lock:
            free.append(place)
            record.add(mutant, fate)
            tried += 1
            if fate == "survived":
                print(f"survived ({tried}/{len(mutants)}): {mutant.name}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, mutants))
    for place in places[1:]:
        place.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="how many, drawn with --seed (default: all)")
    parser.add_argument("--seed", type=int, default=25)
    parser.add_argument("--files", default=".", help="regular expression; only sources whose path matches")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", type=Path, help="file of fates: those that still hold are not tried again")
    parser.add_argument("--least", type=float, default=0.95, help="ratio below which this fails (a sample strays)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heldout-mutants-") as name:
        folder = Path(name)
        first = Workplace(folder / "0")
        mutants = chosen(all_mutants(first.compiler), options.files, options.sample, options.seed)
        record = Record(options.record, first.folder / "contracts")
        untried = [mutant for mutant in mutants if mutant.name not in record.fates]
        print(f"{len(mutants)} mutants, {len(untried)} to try", file=sys.stderr, flush=True)
        if untried:
            first.check(sorted({mutant.file for mutant in untried}))
            try_all(folder, options.jobs, first, untried, record)
        first.close()
    results = {mutant.name: record.fates[mutant.name] for mutant in mutants}
    return verdict(results, "a sample" if options.sample else options.files, options.least)


def verdict(results: dict[str, str], choice: str, least: float) -> int:
    """Reports; 1 if too few died, or if a full run left something unexplained."""
    count = Counter(results.values())
    tried = count["killed"] + count["survived"]
    known = explained()
    unknown = sorted(name for name, fate in results.items() if fate == "survived" and name not in known)
    method = f"{count['killed']} of {tried} mutants, {'all there are' if choice == '.' else choice}"
    report("mutants.killed_ratio", count["killed"] / tried, "ratio", f"{method}; {count['stillborn']} did not compile")
    for name in unknown:
        print(f"not explained in docs/mutants.md: {name}", file=sys.stderr)
    return 1 if (unknown and choice != "a sample") or count["killed"] < least * tried else 0


if __name__ == "__main__":
    sys.exit(main())
