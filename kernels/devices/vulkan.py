"""A GPU by WebGPU: Vulkan, Metal or Direct3D 12 through `wgpu`, an optional extra (`pip install heldout[vulkan]`).

Products in binary32 and tables run there; products in binary64, which few GPUs have, and everything else are NumPy's.
"""

from importlib.resources import files
from typing import Any

import numpy as np

from heldout.kernels.devices.batches import product
from heldout.kernels.devices.interface import Array, Exact
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.errors import NoDevice
from heldout.kernels.tables import Table

_TILE = 32
_LINE = 64
_MOST_GROUPS = 65535
_LIMITS = ("max-storage-buffer-binding-size", "max-buffer-size")


class VulkanDevice(NumpyDevice):
    """The GPU that the driver calls its fastest. Raises NoDevice if there is none, or no `wgpu`."""

    def __init__(self) -> None:
        self._gpu, self.name, self._largest = _open()
        self._multiply = self._pipeline("multiply")
        self._look_up = self._pipeline("look_up")
        self._tables: dict[str, Any] = {}

    def multiply(self, left: Exact, right: Exact) -> Exact:
        """See `interface.Device`. Products too large for the GPU's buffers are NumPy's."""
        if left.dtype != np.float32 or not left.size or not right.size:
            return super().multiply(left, right)
        task = product(left, right)
        groups = (-(-task.n // _TILE), -(-task.m // _TILE), task.count)
        size = 4 * task.count * task.m * task.n
        biggest = max(size, task.left.nbytes, task.right.nbytes)
        if biggest > self._largest or max(groups) > _MOST_GROUPS:
            return super().multiply(left, right)
        inputs = [self._upload(array) for array in (task.left, task.right, task.sizes)]
        return self._run(self._multiply, inputs, size, groups).reshape(task.shape)

    def look_up(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        if not x.size or x.nbytes > self._largest:
            return super().look_up(table, x)
        if table.name not in self._tables:
            self._tables[table.name] = self._upload(table.entries)
        lines = -(-x.size // _LINE)
        across = min(lines, _MOST_GROUPS)
        grid = np.array([(table.scale, table.offset, x.size, across * _LINE)], "<f4,<f4,<u4,<u4")
        inputs = [self._upload(np.ascontiguousarray(x)), self._tables[table.name], self._upload(grid)]
        return self._run(self._look_up, inputs, x.nbytes, (across, -(-lines // across), 1)).reshape(x.shape)

    def _pipeline(self, entry: str) -> Any:
        source = (files(__package__) / f"{entry}.wgsl").read_text()
        module = self._gpu.create_shader_module(code=source)
        return self._gpu.create_compute_pipeline(layout="auto", compute={"module": module, "entry_point": entry})

    def _upload(self, array: Any) -> Any:
        import wgpu

        return self._gpu.create_buffer_with_data(data=array, usage=wgpu.BufferUsage.STORAGE)

    def _run(self, pipeline: Any, inputs: list[Any], size: int, groups: tuple[int, int, int]) -> Array:
        """Runs a kernel whose last binding is its result of `size` bytes."""
        import wgpu

        result = self._gpu.create_buffer(size=size, usage=wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC)
        entries = [{"binding": place, "resource": {"buffer": buffer}} for place, buffer in enumerate([*inputs, result])]
        commands = self._gpu.create_command_encoder()
        work = commands.begin_compute_pass()
        work.set_pipeline(pipeline)
        work.set_bind_group(0, self._gpu.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries))
        work.dispatch_workgroups(*groups)
        work.end()
        self._gpu.queue.submit([commands.finish()])
        return np.frombuffer(self._gpu.queue.read_buffer(result), np.float32).copy()


def _open() -> tuple[Any, str, int]:
    """The GPU, its name for people, and how many bytes one buffer may have."""
    try:
        import wgpu
    except (ImportError, OSError) as problem:
        raise NoDevice(f"vulkan needs the extra `heldout[vulkan]`: {problem}") from None
    try:
        adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
        limits = {name: adapter.limits[name] for name in _LIMITS}
        gpu = adapter.request_device_sync(required_limits=limits)
    except RuntimeError as problem:
        raise NoDevice(f"vulkan: {problem}") from None
    return gpu, f"vulkan ({adapter.info['device']})", min(limits.values())
