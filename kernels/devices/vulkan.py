"""A GPU by WebGPU: Vulkan, Metal or Direct3D 12 through `wgpu`, an optional extra (`pip install heldout[vulkan]`).

Products in binary32 and tables run there; products in binary64, which few GPUs have, and everything else are NumPy's.
"""

import time
from collections.abc import Sequence
from importlib.resources import files
from threading import Lock
from typing import Any

import numpy as np

from heldout.kernels.devices.batches import Product, product
from heldout.kernels.devices.interface import Array, Exact
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.devices.workbench import Whole
from heldout.kernels.errors import DeviceFailed, NoDevice
from heldout.kernels.tables import Table

_TILE = 32
_LINE = 64
_MOST_GROUPS = 65535
_LIMITS = ("max-storage-buffer-binding-size", "max-buffer-size")


class VulkanDevice(NumpyDevice):
    """The GPU that the driver calls its fastest. Raises NoDevice if there is none, or no `wgpu`."""

    def __init__(self) -> None:
        self._gpu, self.name, self.is_software, self._largest = _open()
        self._turn = Lock()
        self._pipelines: dict[str, Any] = {}
        self._tables: dict[str, Any] = {}

    def multiply(self, left: Exact, right: Exact) -> Exact:
        """See `interface.Device`. Products of no terms, or too large for the GPU's buffers, are NumPy's."""
        if left.dtype != np.float32 or not left.size or not right.size:
            return super().multiply(left, right)
        task = product(left, right)
        biggest = max(4 * task.count * task.m * task.n, task.left.nbytes, task.right.nbytes)
        if biggest > self._largest or max(_groups(task)) > _MOST_GROUPS:
            return super().multiply(left, right)
        return self._multiply(task, 1)[0]

    def look_up(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        if not x.size or x.nbytes > self._largest:
            return super().look_up(table, x)
        with self._turn:
            if table.name not in self._tables:
                self._tables[table.name] = self._upload(table.entries)
        across, down = _lines(x.size)
        grid = np.array([(table.scale, table.offset, x.size, across * _LINE)], "<f4,<f4,<u4,<u4")
        inputs = [np.ascontiguousarray(x), self._tables[table.name], grid]
        found: Array = np.empty(x.shape, np.float32)
        self._run("look_up", (across, down, 1), inputs, found)
        return found

    def time_multiply(self, left: Exact, right: Exact, repeats: int) -> tuple[Exact, float]:
        """See `workbench.Workbench`."""
        return self._multiply(product(left, right), repeats)

    def time_add(self, left: Whole, right: Whole, repeats: int) -> tuple[Whole, float]:
        """See `workbench.Workbench`."""
        return self._vectors("add", (left, right), repeats)

    def time_copy(self, values: Whole, repeats: int) -> tuple[Whole, float]:
        """See `workbench.Workbench`."""
        return self._vectors("copy", (values,), repeats)

    def _multiply(self, task: Product, repeats: int) -> tuple[Exact, float]:
        sums: Exact = np.empty(task.shape, np.float32)
        return sums, self._run("multiply", _groups(task), [task.left, task.right, task.sizes], sums, repeats)

    def _vectors(self, entry: str, inputs: tuple[Whole, ...], repeats: int) -> tuple[Whole, float]:
        result = np.empty_like(inputs[0])
        across, down = _lines(result.size)
        grid = np.array([result.size, across * _LINE], np.uint32)
        return result, self._run(entry, (across, down, 1), [*inputs, grid], result, repeats)

    def _run(
        self, entry: str, groups: tuple[int, int, int], inputs: Sequence[Any], result: Exact, repeats: int = 1
    ) -> float:
        """Runs a kernel of inputs (arrays, or what was uploaded) and a result; returns once `result` is written.

        Returns the seconds that `repeats` runs took, without the way of the data to the GPU and back.
        Raises DeviceFailed.
        """
        import wgpu

        try:
            with self._turn:  # wgpu is not made for several threads
                return self._launch(entry, groups, inputs, result, repeats)
        except (wgpu.GPUError, RuntimeError) as problem:
            raise DeviceFailed(f"{self.name}: {problem}") from None

    def _launch(
        self, entry: str, groups: tuple[int, int, int], inputs: Sequence[Any], result: Exact, repeats: int
    ) -> float:
        import wgpu

        usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
        output = self._gpu.create_buffer(size=result.nbytes, usage=usage)
        sent = [self._upload(value) if isinstance(value, np.ndarray) else value for value in inputs]
        pipeline = self._pipeline(entry)
        entries = [{"binding": place, "resource": {"buffer": buffer}} for place, buffer in enumerate([*sent, output])]
        bound = self._gpu.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
        self._finish(output)
        began = time.perf_counter()
        for _ in range(repeats):
            commands = self._gpu.create_command_encoder()
            work = commands.begin_compute_pass()
            work.set_pipeline(pipeline)
            work.set_bind_group(0, bound)
            work.dispatch_workgroups(*groups)
            work.end()
            self._gpu.queue.submit([commands.finish()])
        self._finish(output)
        took = time.perf_counter() - began
        result[...] = np.frombuffer(self._gpu.queue.read_buffer(output), result.dtype).reshape(result.shape)
        return took

    def _finish(self, output: Any) -> None:
        """Waits for all that was submitted: reading the first value of a buffer is the one call that surely does."""
        self._gpu.queue.read_buffer(output, 0, 4)

    def _pipeline(self, entry: str) -> Any:
        if entry not in self._pipelines:
            module = self._gpu.create_shader_module(code=(files(__package__) / f"{entry}.wgsl").read_text())
            self._pipelines[entry] = self._gpu.create_compute_pipeline(
                layout="auto", compute={"module": module, "entry_point": entry}
            )
        return self._pipelines[entry]

    def _upload(self, array: Exact) -> Any:
        import wgpu

        return self._gpu.create_buffer_with_data(data=array, usage=wgpu.BufferUsage.STORAGE)


def _groups(task: Product) -> tuple[int, int, int]:
    return -(-task.n // _TILE), -(-task.m // _TILE), task.count


def _lines(size: int) -> tuple[int, int]:
    """Workgroups across and down for so many values: one axis alone may be too short."""
    lines = -(-size // _LINE)
    across = min(lines, _MOST_GROUPS)
    return across, -(-lines // across)


def _open() -> tuple[Any, str, bool, int]:
    """The GPU, its name for people, whether it is this machine's CPU after all, and the bytes one buffer may have."""
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
    name, kind = adapter.info["device"], adapter.info["adapter_type"]
    return gpu, f"vulkan ({name})", kind == "CPU", min(limits.values())
