"""Which devices there are, by the names that settings and requests use."""

from heldout.kernels.devices import NAMES
from heldout.kernels.devices.interface import Device
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.devices.workbench import Cpu, Workbench
from heldout.kernels.errors import NoDevice


def open_device(name: str) -> Device:
    """Raises NoDevice if the machine has none of this name."""
    match name:
        case "numpy":
            return NumpyDevice()
        case "torch":
            return _torch()
        case "cuda":
            from heldout.kernels.devices.cuda import CudaDevice

            return CudaDevice()
        case "vulkan":
            from heldout.kernels.devices.vulkan import VulkanDevice

            return VulkanDevice()
    raise NoDevice(f"there is no device {name!r}, only {', '.join(NAMES)}")


def _torch() -> Device:
    try:
        from heldout.kernels.devices.torch import TorchDevice
    except ImportError:
        raise NoDevice("torch is not installed") from None
    return TorchDevice()


def open_workbench(name: str) -> Workbench:
    """The same machine, to be timed. Raises NoDevice for what would time the CPU again: torch, a software driver."""
    device = Cpu() if name == "numpy" else open_device(name)
    if not isinstance(device, Workbench) or getattr(device, "is_software", False):
        raise NoDevice(f"{device.name} computes on the CPU")
    return device
