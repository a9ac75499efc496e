"""Scoring for a node: in a process of its own, within limits, gone when the node is (P9.1, P11d).

Hostile weights meet the scorer there and not in the daemon, which holds keys and imports no NumPy. Limits of time and
memory decide nothing about a vote: running into one is this machine's failure, and it does not vote.
"""

from dataclasses import replace
from math import ceil

from heldout.kernels import child
from heldout.kernels.child import ScoreRequest, ScoreResult


def score(request: ScoreRequest, *, timeout_s: float, memory_bytes: int) -> ScoreResult:
    """The result of one lane. Blocks; raises KernelError if this machine or the requester is to blame for none.

    Processor time is bounded too, in case the node dies and nobody is left to stop the process.
    """
    limited = replace(request, memory_bytes=memory_bytes, cpu_seconds=ceil(timeout_s) * request.threads)
    return child.run(limited, timeout_s=timeout_s)
