"""A weights file before the seats, tried on a training shard: one that is BAD costs the whole collateral (P3.3, P9.1).

A provider knows neither graph nor program; both are the requester's. So what the program left is measured here first,
in the same bounded process as at the seats, and what they would refuse is a failure of the program.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from heldout.kernels import child
from heldout.kernels.child import ScoreRequest
from heldout.kernels.errors import KernelError
from heldout.market.errors import BadWeights

READING_S, SCORING_S = 30.0, 60.0
MEMORY = 2 << 30
_NO_CAP = 2**62


def try_weights(weights: Path, graph: Path, shard: Path, metric: str, most_bytes: int) -> None:
    """Raises BadWeights if the strict check fails, or the graph leaves the scorer's range of numbers.

    What cannot be scored at all, by the requester's fault or this machine's, speaks against no weights.
    """
    for shards in ((str(shard),), ()):
        request = ScoreRequest(str(graph), str(weights), shards, metric, _NO_CAP, most_bytes, MEMORY, int(SCORING_S))
        try:
            result = child.run(request, timeout_s=SCORING_S)
        except KernelError:
            continue  # rows that cannot be read must not hide tensors that are not the graph's
        if result.code is not None:
            raise BadWeights(f"the seats would refuse the weights: {result.reason}")
        return


def shapes_of(graph: Path) -> Mapping[str, Sequence[int]]:
    """The tensors that a submission must hold; none if a bounded process cannot tell."""
    try:
        shapes: Mapping[str, Sequence[int]] = child.facts(graph.read_bytes(), timeout_s=READING_S)["weights"]
    except KernelError:
        return {}
    return shapes
