"""Scoring for a node: in a process of its own, within limits, and gone when the node gives up on it (P9.1, P11d).

Hostile weights meet the scorer there and not in the daemon, which holds keys and imports no NumPy. Limits of time and
memory decide nothing about a vote: running into one is this machine's failure, and it does not vote.
"""

import asyncio
from dataclasses import replace
from math import ceil

from heldout.kernels import child
from heldout.kernels.child import ScoreRequest, ScoreResult
from heldout.kernels.errors import TimedOut


def score(request: ScoreRequest, *, timeout_s: float, memory_bytes: int) -> ScoreResult:
    """The result of one lane, waited for. Raises KernelError if this machine or the requester is to blame for none."""
    return child.run(_limited(request, timeout_s, memory_bytes), timeout_s=timeout_s)


async def score_async(request: ScoreRequest, *, timeout_s: float, memory_bytes: int) -> ScoreResult:
    """The same, beside other work. Cancelling it ends the scoring process."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *child.command(), stdin=pipe, stdout=pipe, stderr=pipe, env={}, start_new_session=True
    )
    try:
        text = _limited(request, timeout_s, memory_bytes).to_json().encode()
        stdout, stderr = await asyncio.wait_for(process.communicate(text), timeout_s)
    except TimeoutError:
        raise TimedOut(f"scoring took longer than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            child.kill_group(process.pid)
            await process.wait()
    return ScoreResult.from_json(child.answer(process.returncode or 0, stdout, stderr))


def _limited(request: ScoreRequest, timeout_s: float, memory_bytes: int) -> ScoreRequest:
    """Processor time is bounded too, in case the node dies and nobody is left to stop the process."""
    return replace(request, memory_bytes=memory_bytes, cpu_seconds=ceil(timeout_s) * request.threads)
