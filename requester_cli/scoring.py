"""Scoring at home, in the same child process a validator uses, so that the bits are the same."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from heldout.kernels.child import ScoreRequest, ScoreResult, run
from heldout.kernels.errors import KernelError
from heldout.market.errors import BadInput, HeldoutError
from heldout.market.messages import BAD
from heldout.market.terms import JobTerms

TIMEOUT_S = 3600.0
_HINTS = {
    "unsupported_operator": "docs/score-v1.md lists the operators; export with opset 17 or later",
    "bad_data": "docs/your-data.md says what x, y and the graph must be for each metric",
    "operation_cap": "fewer held-out rows, or a smaller model",
}


FLOAT32 = "float32"
"""The device that computes as training frameworks do: for a comparison, never for a vote."""


def score(
    terms: JobTerms,
    graph: bytes,
    weights: bytes,
    shards: Sequence[bytes],
    *,
    threads: int = 1,
    device: str = "numpy",
    operation_cap: int | None = None,
) -> ScoreResult:
    """One lane's score over plain shards, in the split's order; under the terms' operation cap unless another is given.

    Raises BadInput with the scorer's code if graph or data cannot be scored, HeldoutError if the process failed.
    """
    with TemporaryDirectory(prefix="heldout-score-") as name:
        folder = Path(name)
        files = {"graph.onnx": graph, "weights.safetensors": weights}
        files |= {f"{index:02}.safetensors": shard for index, shard in enumerate(shards)}
        for path, data in files.items():
            (folder / path).write_bytes(data)
        request = ScoreRequest(
            graph=str(folder / "graph.onnx"),
            weights=str(folder / "weights.safetensors"),
            shards=tuple(str(folder / f"{index:02}.safetensors") for index in range(len(shards))),
            metric=terms.metric_name,
            operation_cap=terms.operationCap if operation_cap is None else operation_cap,
            weights_bytes=terms.weightsBytes,
            threads=threads,
            device=device,
        )
        try:
            return run(request, timeout_s=TIMEOUT_S)
        except KernelError as problem:
            kind = BadInput if problem.code in _HINTS or problem.code == "bad_graph" else HeldoutError
            raise kind(problem.message, hint=_HINTS.get(problem.code, ""), code=problem.code) from None


def vote_of(result: ScoreResult) -> int:
    """The result as a lane of a vote word (P3.1)."""
    return BAD if result.score is None else result.score
