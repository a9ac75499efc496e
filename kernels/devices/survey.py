"""Which devices this machine has, and which of them may be trusted: those that reproduce every known answer (P9.4)."""

from collections.abc import Iterator
from dataclasses import dataclass

from heldout.kernels.devices import NAMES
from heldout.kernels.devices.choice import open_device
from heldout.kernels.errors import DeviceFailed, NoDevice, SelfTestFailed
from heldout.kernels.known_answers import self_test


@dataclass(frozen=True)
class Seen:
    """What is known about one device of this machine."""

    device: str
    present: bool
    proven: bool
    """A node may vote with it."""
    told: str


def survey() -> Iterator[Seen]:
    """Every device that there could be, in the order of `NAMES`."""
    for name in NAMES:
        try:
            device = open_device(name)
        except NoDevice as problem:
            yield Seen(name, False, False, problem.message)
            continue
        try:
            yield Seen(name, True, True, f"{device.name}: {self_test(device)} known answers reproduced")
        except (SelfTestFailed, DeviceFailed) as problem:
            yield Seen(name, True, False, f"{device.name}: {problem.message}")
