"""NVIDIA's GPUs through the driver alone: no toolkit, no other package. `exact.ptx` is `exact.cu` compiled.

Products and tables run there, everything else is NumPy's. The calls are those of the CUDA driver API,
https://docs.nvidia.com/cuda/cuda-driver-api; a context is made current in whichever thread uses the device.
"""

import ctypes
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
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

LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
_BLOCK = 8
_SQUARE = _BLOCK * 4
"""Rows and columns of the result that one block makes."""
_LINE = 256
_MOST_GROUPS = 65535
_ENTRIES = {np.dtype(np.float32): "multiply_f32", np.dtype(np.float64): "multiply_f64"}


class CudaDevice(NumpyDevice):
    """The first GPU. Raises NoDevice if there is no driver or no GPU that runs the kernels."""

    def __init__(self, library: str | None = None) -> None:
        self._driver = _Driver(library)
        self.name = f"cuda ({self._driver.gpu_name})"

    def multiply(self, left: Exact, right: Exact) -> Exact:
        """See `interface.Device`. Products of no terms, or too large for a launch, are NumPy's."""
        if not left.size or not right.size:
            return super().multiply(left, right)
        task = product(left, right)
        return super().multiply(left, right) if max(_groups(task)) > _MOST_GROUPS else self._multiply(task, 1)[0]

    def look_up(self, table: Table, x: Array) -> Array:
        """See `interface.Device`."""
        found = np.empty(x.shape, np.float32)
        if x.size:
            inputs = (np.ascontiguousarray(x), table.entries)
            plain = (c_float(table.scale), c_int(table.offset), c_uint(x.size))
            self._driver.run("look_up", _lines(x.size), (_LINE, 1), inputs, found, *plain)
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
        sums: Exact = np.empty(task.shape, task.left.dtype)
        sizes, inputs = (c_uint * 5)(*task.sizes), (task.left, task.right)
        entry = _ENTRIES[sums.dtype]
        return sums, self._driver.run(entry, _groups(task), (_BLOCK, _BLOCK), inputs, sums, sizes, repeats=repeats)

    def _vectors(self, entry: str, inputs: tuple[Whole, ...], repeats: int) -> tuple[Whole, float]:
        result = np.empty_like(inputs[0])
        count = c_uint(result.size)
        return result, self._driver.run(entry, _lines(result.size), (_LINE, 1), inputs, result, count, repeats=repeats)


class _Driver:
    """One context on one GPU, with the kernels loaded. Raises NoDevice; calls that fail later raise DeviceFailed."""

    def __init__(self, library: str | None) -> None:
        self._library = _load(library)
        self._turn = Lock()
        gpu, name = c_int(), ctypes.create_string_buffer(128)
        self._context, self._module = c_void_p(), c_void_p()
        try:
            self._call("cuInit", c_uint(0))
            self._call("cuDeviceGet", byref(gpu), c_int(0))
            self._call("cuDeviceGetName", name, c_int(len(name)), gpu)
            self._call("cuDevicePrimaryCtxRetain", byref(self._context), gpu)
            with self._current():
                kernels = (files(__package__) / "exact.ptx").read_bytes() + b"\0"
                self._call("cuModuleLoadData", byref(self._module), c_char_p(kernels))
        except DeviceFailed as problem:
            raise NoDevice(f"cuda: {problem.message}") from None
        self.gpu_name = name.value.decode(errors="replace")

    def run(
        self,
        entry: str,
        groups: tuple[int, int, int],
        block: tuple[int, int],
        inputs: tuple[Exact, ...],
        result: Exact,
        *plain: Any,
        repeats: int = 1,
    ) -> float:
        """Runs a kernel of inputs, a result and plain arguments, in this order; returns once `result` is written.

        Returns the seconds that `repeats` runs took, without the way of the data to the GPU and back.
        """
        with self._turn, self._current(), ExitStack() as stack:
            sent = [stack.enter_context(self._memory(array.nbytes)) for array in (*inputs, result)]
            for place, array in zip(sent, inputs, strict=False):
                self._call("cuMemcpyHtoD_v2", place, c_void_p(array.ctypes.data), c_size_t(array.nbytes))
            function = c_void_p()
            self._call("cuModuleGetFunction", byref(function), self._module, c_char_p(entry.encode()))
            arguments = [*sent, *plain]
            pointers = (c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments))
            shape = [c_uint(size) for size in (*groups, *block, 1)]
            self._call("cuCtxSynchronize")
            began = time.perf_counter()
            for _ in range(repeats):
                self._call("cuLaunchKernel", function, *shape, c_uint(0), c_void_p(), pointers, c_void_p())
            self._call("cuCtxSynchronize")
            took = time.perf_counter() - began
            self._call("cuMemcpyDtoH_v2", c_void_p(result.ctypes.data), sent[-1], c_size_t(result.nbytes))
            return took

    @contextmanager
    def _current(self) -> Iterator[None]:
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", byref(c_void_p()))

    @contextmanager
    def _memory(self, size: int) -> Iterator[c_uint64]:
        place = c_uint64()
        self._call("cuMemAlloc_v2", byref(place), c_size_t(size))
        try:
            yield place
        finally:
            self._call("cuMemFree_v2", place)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            text = c_char_p()
            self._library.cuGetErrorName(c_int(code), byref(text))
            raise DeviceFailed(f"{name}: {(text.value or b'error %d' % code).decode()}")


def _groups(task: Product) -> tuple[int, int, int]:
    return -(-task.n // _SQUARE), -(-task.m // _SQUARE), task.count


def _lines(size: int) -> tuple[int, int, int]:
    return -(-size // _LINE), 1, 1


def _load(library: str | None) -> ctypes.CDLL:
    for name in [library] if library else LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NoDevice("cuda: no NVIDIA driver is installed")
