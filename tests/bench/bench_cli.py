"""Start of the command line: CPU time of `heldout --help` against a bare interpreter, in turn."""

import resource
import statistics
import subprocess
import sys

from tests.bench.figure import report

PAIRS = 15


def cpu_seconds(*command: str) -> float:
    """User plus system seconds of one finished child."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    help_ = (sys.executable, "-m", "heldout", "--help")
    bare = (sys.executable, "-c", "pass")
    cpu_seconds(*help_)
    pairs = [(cpu_seconds(*help_), cpu_seconds(*bare)) for _ in range(PAIRS)]
    method = f"median of {PAIRS} interleaved pairs, user+system time of the child"
    report(
        "cli.help.cpu_ratio", statistics.median(h / b for h, b in pairs), "ratio", f"{method}, over `python -c pass`"
    )
    report("cli.help.cpu_s", statistics.median(h for h, _ in pairs), "s", method)
    report("cli.bare.cpu_s", statistics.median(b for _, b in pairs), "s", method)


if __name__ == "__main__":
    main()
