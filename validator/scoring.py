"""Scoring for a node: in a process of its own, within limits, gone when the node is (P9.1, P11d).

Hostile weights meet the scorer there and not in the daemon, which holds keys and imports no NumPy. Limits of time and
memory decide nothing about a vote: running into one is this machine's failure, and it does not vote. Nor does the
device: whichever is chosen, and proven at start (P9.4), the bits are the CPU's.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from math import ceil

from heldout.kernels import child
from heldout.kernels.child import ScoreRequest, ScoreResult
from heldout.kernels.errors import DeviceFailed, KernelError, NoDevice

log = logging.getLogger(__name__)

CPU = "numpy"


def proven_device(wanted: str, warn: Callable[[str], object]) -> str:
    """The device to score with: the one wanted, or the CPU if that one does not reproduce the known answers (P9.4).

    `warn` is told why. Raises KernelError if the CPU does not either: this machine must not vote.
    """
    try:
        log.info("%d known answers reproduced on %s", child.self_test(wanted), wanted)
        return wanted
    except KernelError as problem:
        if wanted == CPU:
            raise
        warn(f"{wanted} is not used, the CPU scores: {problem.message}")
        return proven_device(CPU, warn)


def score(request: ScoreRequest, *, timeout_s: float, memory_bytes: int, device: str = CPU) -> ScoreResult:
    """The result of one lane. Blocks; raises KernelError if this machine or the requester is to blame for none.

    Processor time is bounded too, in case the node dies and nobody is left to stop the process. If the device breaks
    down the CPU takes over, in the time that is left.
    """
    deadline = time.monotonic() + timeout_s
    limited = replace(request, memory_bytes=memory_bytes, cpu_seconds=ceil(timeout_s) * request.threads, device=device)
    try:
        return child.run(limited, timeout_s=timeout_s)
    except (NoDevice, DeviceFailed) as problem:
        if device == CPU:
            raise
        log.warning("%s broke down, the CPU scores: %s", device, problem.message)
    return child.run(replace(limited, device=CPU), timeout_s=max(deadline - time.monotonic(), 0))
