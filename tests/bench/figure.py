"""One measured figure, as a line of the bench's stream."""

import json
import sys


def report(name: str, value: float, unit: str, method: str) -> None:
    """Print a figure as JSON on stdout and in words on stderr."""
    rounded = round(value, 4)
    print(json.dumps({"name": name, "value": rounded, "unit": unit, "method": method}), flush=True)
    print(f"{name:36} {rounded:>12,} {unit:10} {method}", file=sys.stderr, flush=True)
