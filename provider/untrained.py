"""Weights that nobody trained, for a lane whose program fails by its own fault (P3.3, P10).

An absent provider's whole collateral goes to the requester, so a program that fails on purpose would earn it. A valid
file below the floor costs the provider n·f / lanes, and the requester pays the seats that measure it.

    the graph's shapes ─▶ every value one constant ─▶ tried as the seats would ─▶ sealed and submitted as ever
"""

import logging
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import prod
from pathlib import Path

from heldout.market.durable import write_whole
from heldout.market.errors import BadWeights
from heldout.market.manifest import Manifest
from heldout.market.weights import Tensor, encode
from heldout.provider.duties import View
from heldout.provider.record import Record
from heldout.provider.tools import Tools
from heldout.provider.trial import shapes_of, try_weights

log = logging.getLogger(__name__)

CONSTANTS = (0.0, 1.0, 2.0**-7)
"""Tried in this order: a graph may leave the scorer's range of numbers with one of them."""
ANY_SHAPE: Mapping[str, Sequence[int]] = {"w": (1,)}
"""Of a graph that cannot be read: nobody can score it, and the lane is paid as NO_DATA."""


class Untrained:
    """Takes one step; safe to take twice, with the same bytes."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def stand_in(self, view: View, mine: Record) -> Record:
        """In the journal first: that it is done, why, and whose program it was. Raises StoreProblem, BadWeights."""
        job, terms = view.job.id, view.job.terms
        if not mine.untrained:
            self._tools.requesters.failed(terms.requester, job)
            mine = self._tools.records.keep(mine.but(untrained=mine.failure))
            log.warning("job %s: its program failed %d times, last by: %s", job, mine.faults, mine.failure)
            log.warning("job %s: weights that nobody trained are submitted, to lose a fee and not the collateral", job)
            self._tools.reach("untrained.noted")
        manifest = self._tools.materials.manifest(terms)
        assert isinstance(manifest, Manifest), "its attempts were begun with one"

        def make() -> None:
            graph = self._tools.materials.fetch_graph(manifest, job)
            shard = self._tools.materials.a_shard(job)
            write_untrained(self._tools.materials.weights(job), graph, shard, manifest.metric, terms.weightsBytes)

        if not self._tools.chores.done(f"untrained/{job}", make):
            return mine
        digest = sha256(self._tools.materials.weights(job).read_bytes()).hexdigest()
        run = mine.run and mine.run.of_weights(digest)
        return self._tools.records.keep(mine.but(weights_hash=digest, run=run))


def write_untrained(target: Path, graph: Path, shard: Path, metric: str, most_bytes: int) -> None:
    """A weights file that the seats will find valid. The same graph and shard give the same bytes.

    Raises BadWeights if there is none: the terms have no room for the graph's tensors, or no constant is in range.
    """
    shapes = shapes_of(graph) or ANY_SHAPE
    least = 4 * sum(map(prod, shapes.values()))
    if least > most_bytes:
        raise BadWeights(f"the graph's tensors have {least} bytes, the terms allow {most_bytes}")
    for value in CONSTANTS:
        write_whole(target, constant_weights(shapes, value))
        try:
            return try_weights(target, graph, shard, metric, most_bytes)
        except BadWeights as problem:
            refused = problem
    raise refused


def constant_weights(shapes: Mapping[str, Sequence[int]], value: float) -> bytes:
    """The one canonical file of float32 tensors in which every number is `value`."""
    number = struct.pack("<f", value)
    return encode({name: Tensor("F32", tuple(shape), number * prod(shape)) for name, shape in shapes.items()})
