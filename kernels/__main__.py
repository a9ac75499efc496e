"""`python -m heldout.kernels REQUEST.json` (or `-` for standard input), or `--self-test`: the scoring process."""

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from heldout.kernels.child import ScoreRequest
from heldout.kernels.errors import ChildFailed, KernelError, OutOfMemory

_PR_SET_PDEATHSIG = 1
_FIRST_TO_GO = "1000"
"""When a machine runs out of memory: the kernel then ends this process and not the node, which holds votes."""
_LONGEST_FILE = 1 << 20
_LONGEST_MESSAGE = 2000
_ON_CPU = ("numpy", "float32")
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def main(arguments: list[str]) -> int:
    """Prints the answer and returns 0, or prints an error as JSON on standard error and returns 1."""
    try:
        print(_answer(arguments))
        return 0
    except KernelError as problem:
        report = problem
    except MemoryError:
        report = OutOfMemory("the memory limit was too small to score this graph")
    except Exception as problem:  # the parent reads one JSON object, whatever happens here
        report = ChildFailed(f"{type(problem).__name__}: {problem}")
    print(json.dumps({"code": report.code, "message": report.message[:_LONGEST_MESSAGE]}), file=sys.stderr)
    return 1


def _answer(arguments: list[str]) -> str:
    _die_first()
    match arguments:
        case ["--self-test", *device]:
            from heldout.kernels.devices.choice import open_device
            from heldout.kernels.known_answers import self_test

            return json.dumps({"vectors": self_test(open_device(*device or ["numpy"]))})
        case ["--devices"]:
            from heldout.kernels.devices.survey import survey

            return json.dumps([asdict(seen) for seen in survey()])
        case ["--capability" | "--check-capability" as question]:
            from heldout.kernels.capability_child import checked, measured

            asked = json.loads(sys.stdin.buffer.read())
            return json.dumps(measured(asked) if question == "--capability" else checked(asked))
        case ["-"]:
            request = ScoreRequest.from_json(sys.stdin.buffer.read())
        case [path]:
            request = ScoreRequest.from_json(Path(path).read_bytes())
        case _:
            raise ChildFailed(
                "usage: python -m heldout.kernels REQUEST.json | - | --self-test [DEVICE] | --devices | --capability"
            )
    _limit(request)
    # NumPy reads these once, when it is first imported. Threads share batches out, not products.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    from heldout.kernels.score import score

    return score(request).to_json()


def _limit(request: ScoreRequest) -> None:
    """Bounds this process before it opens what strangers wrote."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: _LONGEST_FILE}
    if request.memory_bytes:
        # A GPU's driver reserves far more addresses than it ever uses: with one, memory that is written to counts.
        kind = resource.RLIMIT_AS if request.device in _ON_CPU else resource.RLIMIT_DATA
        limits[kind] = request.memory_bytes
    if request.cpu_seconds:
        limits[resource.RLIMIT_CPU] = request.cpu_seconds
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def _die_first() -> None:
    """A node that is killed leaves no scoring behind (P11d). Linux only; elsewhere the time limits see to it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
