"""P9.3: every device has the bits of whole-number arithmetic, so it does not matter which one a validator has.

CUDA's kernels and the calls to its driver run here on the CPU (`cuda_on_cpu.cpp`), and on a GPU where there is one;
Vulkan's run on whatever driver is installed, which in CI is Mesa's software one.
"""

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from heldout.kernels import capability
from heldout.kernels.devices import NAMES
from heldout.kernels.devices.choice import open_device
from heldout.kernels.devices.cuda import CudaDevice
from heldout.kernels.devices.interface import Device, Exact
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.devices.vulkan import VulkanDevice
from heldout.kernels.devices.workbench import Cpu, Workbench
from heldout.kernels.errors import DeviceFailed, NoDevice
from heldout.kernels.known_answers import known_answers, self_test
from heldout.kernels.tables import ENTRIES, Table
from heldout.kernels.windows import Window

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def cuda_on_cpu(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library with the driver's calls that runs the kernels on this CPU."""
    library = tmp_path_factory.mktemp("cuda") / "libcuda-on-cpu.so"
    sources = ["-I", str(TESTS.parent / "kernels" / "devices"), "-o", str(library), str(TESTS / "cuda_on_cpu.cpp")]
    try:
        subprocess.run(["g++", "-std=c++17", "-O2", "-shared", "-fPIC", *sources], check=True)
    except FileNotFoundError:
        pytest.skip("no g++ to compile CUDA's kernels for the CPU")
    return str(library)


@pytest.fixture(scope="session", params=[*NAMES, "cuda on this CPU"])
def device(request: pytest.FixtureRequest) -> Device:
    if request.param not in NAMES:
        return CudaDevice(request.getfixturevalue("cuda_on_cpu"))
    try:
        return open_device(request.param)
    except NoDevice as problem:
        if request.param in os.environ.get("HELDOUT_REQUIRE_DEVICES", "").split():
            pytest.fail(f"./run set this device up, but {problem.message}")
        pytest.skip(problem.message)


def test_every_known_answer_is_reproduced(device: Device) -> None:
    """P9.4: what a node asks of a device before it votes with it."""
    assert self_test(device) == len(known_answers()) > 20


SHAPES = {
    "a vector": ((1, 5), (5, 1)),
    "smaller than a block": ((3, 5), (5, 7)),
    "one more than a block": ((33, 65), (65, 33)),
    "a batch of rows against one matrix": ((4, 3, 17), (17, 9)),
    "a batch against a batch": ((3, 5, 6), (3, 6, 4)),
    "axes of size one": ((2, 1, 5, 6), (3, 6, 4)),
    "one matrix against a batch": ((5, 6), (3, 6, 4)),
    "one matrix of a batch axis": ((2, 5, 6), (1, 6, 4)),
    "no rows": ((0, 5), (5, 3)),
    "no columns": ((2, 4, 5), (5, 0)),
    "no terms": ((2, 0), (0, 3)),
    "no batch": ((0, 2, 3), (3, 4)),
}


@pytest.mark.parametrize("total", [24, 53])
@pytest.mark.parametrize(("left", "right"), SHAPES.values(), ids=SHAPES.keys())
def test_products_are_those_of_whole_numbers(
    device: Device, left: tuple[int, ...], right: tuple[int, ...], total: int
) -> None:
    """P9.2, sums near the bound: terms as large as their number allows, and grids from 2**-100 to 2**60."""
    random = np.random.default_rng(total)
    most = int(2 ** (total / 2) / max(left[-1], 1) ** 0.5)
    steps = [random.integers(-most, most, shape, endpoint=True) for shape in (left, right)]
    grids = (random.integers(-50, 30, (*left[:-1], 1)), random.integers(-50, 30, right[-1:]))
    kind = np.float32 if total == 24 else np.float64
    factors = [np.ldexp(whole, grid).astype(kind) for whole, grid in zip(steps, grids, strict=True)]
    found = device.multiply(*factors)
    assert found.dtype == kind
    assert np.array_equal(found, np.ldexp(np.matmul(*steps), grids[0] + grids[1]))


def test_sums_at_the_bound_are_exact(device: Device) -> None:
    """P9.2: 2**24 steps, reached by the very last term."""
    left = np.full((2, 1024), 128, np.float32)
    right = np.full((1024, 2), 128, np.float32)
    left[1, ::2] = -128
    right[-1, 1] = 127
    assert device.multiply(left, right).tolist() == [[2.0**24, 2.0**24 - 128], [0, -128]]


def test_views_are_read_as_what_they_show(device: Device) -> None:
    whole = np.arange(2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8)
    for left, right in (
        (whole[:, ::2, 1::3], whole[:, 3:, ::2]),
        (whole[0].T, whole[0]),
        (whole.T[:5, :, 0], whole[0, :, ::2]),
    ):
        assert np.array_equal(device.multiply(left, right), np.matmul(left, right))


def test_what_a_device_read_stays_as_it_was_and_what_it_made_can_be_written(device: Device) -> None:
    """Arrays stay the caller's (interface.Device)."""
    left, right = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    made = device.multiply(left, right)
    made += 1
    assert left.sum() == 12 and right.sum() == 20 and made.sum() == 75
    again = device.multiply(left, right)
    assert again.sum() == 60 and made.sum() == 75


def test_threads_share_a_device(device: Device) -> None:
    """As batches of rows do (kernels/score.py)."""
    random = np.random.default_rng(3)
    tasks = [(_whole(random, (size, 40)), _whole(random, (40, 33))) for size in range(1, 41)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda task: (device.multiply(*task), device.look_up(TABLE, task[0])), tasks))
    for (left, right), (product, read) in zip(tasks, found, strict=True):
        assert np.array_equal(product, np.matmul(left, right))
        assert np.array_equal(read, NumpyDevice().look_up(TABLE, left))


def _whole(random: np.random.Generator, shape: tuple[int, int]) -> Exact:
    return random.integers(-99, 99, shape).astype(np.float32)


WINDOWS = {
    "plain": (Window((2, 2)), 1),
    "one cell": (Window((1, 1)), 2),
    "padded": (Window((3, 2), (2, 1), (1, 2), (1, 0), (2, 1)), 1),
    "in groups": (Window((3, 3), begin=(1, 1), end=(1, 1)), 4),
}


@pytest.mark.parametrize(("window", "groups"), WINDOWS.values(), ids=WINDOWS.keys())
def test_convolutions_are_those_of_whole_numbers(device: Device, window: Window, groups: int) -> None:
    random = np.random.default_rng(5)
    x = random.integers(-99, 99, (3, 4, 7, 6)).astype(np.float32)
    filters = random.integers(-99, 99, (8, 4 // groups, *window.kernel)).astype(np.float32)
    assert np.array_equal(device.convolve(x, filters, window, groups), _convolved(x, filters, window, groups))


def _convolved(x: Exact, filters: Exact, window: Window, groups: int) -> Exact:
    """One output after the other, as the definition has it."""
    edges = ((0, 0), (0, 0), *zip(window.begin, window.end, strict=True))
    padded = np.pad(x, edges).astype(np.int64)
    sums = np.zeros((len(x), len(filters), *window.output(x.shape[2:])), np.int64)
    inputs, outputs = x.shape[1] // groups, len(filters) // groups
    for place in np.ndindex(sums.shape):
        row, output, *corner = place
        channels = slice(output // outputs * inputs, (output // outputs + 1) * inputs)
        for cell, (down, across) in zip(np.ndindex(window.kernel), window.offsets(), strict=True):
            top, left = (at * stride for at, stride in zip(corner, window.strides, strict=True))
            values = padded[row, channels, top + down, left + across]
            sums[place] += int(values @ filters[(output, slice(None), *cell)].astype(np.int64))
    return sums


TABLE = Table("noise", 4096.0, ENTRIES // 2, np.random.default_rng(7).standard_normal(ENTRIES).astype(np.float32))


@pytest.mark.parametrize("offset", [0, ENTRIES // 2, ENTRIES - 1])
def test_tables_are_read_at_the_nearest_step_ties_to_even(device: Device, offset: int) -> None:
    table = Table(f"from {offset}", TABLE.scale, offset, TABLE.entries)
    halves = np.arange(-131_500, 131_500, 7, dtype=np.float32) / (2 * 4096)
    near = np.nextafter(halves, np.float32(np.inf))
    odd = np.array([0.0, -0.0, 2.0**100, -(2.0**100), 2.0**-126, 1e-30, -1e-30], np.float32)
    values = np.concatenate([halves, near, odd])
    steps = [min(max(round(float(value) * 4096), -offset), ENTRIES - 1 - offset) for value in values]
    assert np.array_equal(device.look_up(table, values), table.entries[np.array(steps) + offset])


def test_tables_keep_shapes_and_forget_nothing(device: Device) -> None:
    values = np.linspace(-9, 9, 60, dtype=np.float32).reshape(3, 4, 5)
    for table in (TABLE, Table("other", 2048.0, 7, TABLE.entries[::-1].copy()), TABLE):
        assert np.array_equal(device.look_up(table, values), NumpyDevice().look_up(table, values))
        assert np.array_equal(device.look_up(table, values[:, ::2]), NumpyDevice().look_up(table, values[:, ::2]))
    assert device.look_up(TABLE, values[:0]).shape == (0, 4, 5)


def test_rounding_and_pooling_are_numpys(device: Device) -> None:
    random = np.random.default_rng(9)
    x = (random.standard_normal((2, 3, 6, 5)) * 2.0 ** random.integers(-40, 40, (2, 1, 1, 1))).astype(np.float32)
    window = Window((2, 3), (2, 2), begin=(1, 0), end=(0, 1))
    assert np.array_equal(device.max_pool(x, window), NumpyDevice().max_pool(x, window))
    for bits, total in ((9, 24), (24, 53)):
        rounded, exponent = device.round(x.reshape(2, -1), bits, total)
        expected, most = NumpyDevice().round(x.reshape(2, -1), bits, total)
        assert np.array_equal(rounded, expected) and exponent == most


def test_the_work_that_is_timed_has_one_result(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/capability.md: whoever did it, anybody's CPU finds the same hash."""
    monkeypatch.setattr(capability, "SIDES", (33,))
    monkeypatch.setattr(capability, "VECTOR", 1001)
    monkeypatch.setattr(capability, "LEAST_S", 0.0001)
    bench = device if isinstance(device, Workbench) else Cpu()
    tasks = [task for task, _ in capability.measure(bench, b"seed")]
    assert [task.kind for task in tasks] == ["multiply", "add", "copy"]
    assert all(capability.is_right(task, b"seed") for task in tasks)


# ------------------------------------------------------------------------------------------------------ a GPU's driver


def test_a_driver_without_a_gpu_is_no_device(cuda_on_cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_ON_CPU_HAS_NO_GPU", "1")
    with pytest.raises(NoDevice, match="CUDA_ERROR_NO_DEVICE"):
        CudaDevice(cuda_on_cpu)


def test_no_driver_is_no_device() -> None:
    with pytest.raises(NoDevice, match="driver"):
        CudaDevice("libcuda-that-is-not-there.so")


def test_a_gpu_that_breaks_down_is_told_from_one_that_computes() -> None:
    """P9.4: the lane is the CPU's then (validator/scoring.py)."""
    try:
        device = VulkanDevice()
    except NoDevice as problem:
        pytest.skip(problem.message)
    device._gpu.destroy()
    with pytest.raises(DeviceFailed, match="vulkan"):
        device.multiply(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32))


def test_memory_of_a_gpu_is_given_back_even_when_it_runs_out(cuda_on_cpu: str) -> None:
    """A node scores for months: nothing may stay allocated."""
    library = ctypes.CDLL(cuda_on_cpu)
    device = CudaDevice(cuda_on_cpu)
    with pytest.raises(DeviceFailed, match="OUT_OF_MEMORY"):
        device.multiply(np.ones((20_000, 1), np.float32), np.ones((1, 20_000), np.float32))
    assert library.cuda_on_cpu_allocations() == 0
    assert device.multiply(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)).tolist() == [[3, 3], [3, 3]]
    assert library.cuda_on_cpu_allocations() == 0
