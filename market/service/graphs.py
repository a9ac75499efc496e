"""What a job's graph asks for, read from the network's stores in a bounded process, once for each graph."""

import json
import os
import subprocess
import sys
from collections import OrderedDict
from threading import Lock
from typing import Any, Final

from heldout.market.artifacts import Stores
from heldout.market.artifacts.blob import ArtifactId
from heldout.market.errors import BadInput, StoreProblem
from heldout.market.posting.drafting import GraphFacts

MOST_BYTES: Final = 1 << 26
PATIENCE_S: Final = 30.0
_KEPT: Final = 256
_FEW_THREADS: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Graphs:
    """One graph is read at a time, so that strangers' graphs take one core at most."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._known: OrderedDict[ArtifactId, GraphFacts] = OrderedDict()
        self._lock = Lock()

    def facts(self, graph: ArtifactId) -> GraphFacts:
        """Raises BadInput, with the scorer's own code, for what cannot be scored; StoreProblem."""
        with self._lock:
            if graph not in self._known:
                self._known[graph] = _read(self._stores.get(graph, MOST_BYTES))
            self._known.move_to_end(graph)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return self._known[graph]


def _read(graph: bytes) -> GraphFacts:
    argv = [sys.executable, "-m", "heldout.kernels.facts"]
    try:
        done = subprocess.run(
            argv, input=graph, capture_output=True, timeout=PATIENCE_S, env={**os.environ, **_FEW_THREADS}, check=False
        )
        told: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise BadInput("the graph takes too long to read", code="bad_graph") from None
    except ValueError:
        if b"No module named" in done.stderr:
            hint = "whoever runs the service installs heldout[validator]; or post with `heldout job post`"
            raise StoreProblem("this service cannot read graphs", hint=hint, code="no_graph_reader") from None
        raise BadInput("the graph cannot be read within bounds", code="bad_graph") from None
    if "code" in told:
        hint = "docs/score-v1.md lists the operators; export with opset 17 or later"
        raise BadInput(told["message"], hint=hint, code=told["code"])
    return GraphFacts.of(told["operations_per_row"], told["weights"])
