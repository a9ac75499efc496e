"""Why a score could not be made. Each error has a stable `code`.

KernelError
├── BadGraph               the requester's graph: not ONNX, or shapes that do not fit together
│   └── Unsupported        an operator, or a use of one, that `score-v1` does not define
├── BadData                the requester's shards: not rows of x and y, or labels the metric cannot read
├── TooManyOperations      more than the terms' operation cap; found before anything runs
├── OutOfRange             the submitted weights leave the range of numbers `score-v1` defines: a BAD submission
├── NoDevice               the device asked for is not there: no driver, no such GPU, or an extra not installed
├── DeviceFailed           a device that was there broke down: this machine's failure, not a verdict
├── SelfTestFailed         this machine does not reproduce the known answers, so it must not vote (P9.4)
├── OutOfMemory            the memory limit was too small for this graph
├── TimedOut               the time limit ran out (wall clock decides nothing but that this machine gave up)
└── ChildFailed            the scoring process died, or was asked for something it cannot read
"""


class KernelError(Exception):
    """Base of all errors of this package."""

    code = "scoring_failed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadGraph(KernelError):
    code = "bad_graph"


class Unsupported(BadGraph):
    code = "unsupported_operator"


class BadData(KernelError):
    code = "bad_data"


class TooManyOperations(KernelError):
    code = "operation_cap"


class OutOfRange(KernelError):
    code = "out_of_range"


class NoDevice(KernelError):
    code = "no_device"


class DeviceFailed(KernelError):
    code = "device_failed"


class SelfTestFailed(KernelError):
    code = "self_test_failed"


class OutOfMemory(KernelError):
    code = "out_of_memory"


class TimedOut(KernelError):
    code = "scoring_timed_out"


class ChildFailed(KernelError):
    code = "scoring_failed"
