"""How many bytes a submission for a job's graph may need: read once each, in a bounded process, beside the loop."""

from heldout.kernels import child
from heldout.kernels.errors import KernelError
from heldout.market.artifacts import ArtifactStore, parse_id
from heldout.market.manifest import Manifest
from heldout.market.posting.drafting import GraphFacts
from heldout.provider.chores import Chores
from heldout.provider.materials import GRAPH_LIMIT
from heldout.provider.trial import READING_S


class Graphs:
    """Terms with less room than the graph's own tensors take make every submission BAD, whoever trains (P9.1, P10)."""

    def __init__(self, stores: ArtifactStore, chores: Chores) -> None:
        self._stores, self._chores = stores, chores
        self._known: dict[str, int] = {}

    def bytes_needed(self, task: Manifest) -> int | None:
        """0 for a graph that cannot be read, which nobody can score either; None while it is being read. Raises
        StoreProblem."""
        name = task.graph.sha256
        if name not in self._known:
            self._chores.done(f"graph/{name}", lambda: self._read(name))
        return self._known.get(name)

    def _read(self, name: str) -> None:
        graph = self._stores.get(parse_id(name), GRAPH_LIMIT)
        try:
            facts = child.facts(graph, timeout_s=READING_S)
            self._known[name] = GraphFacts.of(facts["operations_per_row"], facts["weights"]).weights_bytes
        except KernelError:
            self._known[name] = 0
