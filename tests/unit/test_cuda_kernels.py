"""P9.3: the CUDA kernels that are shipped are those of exact.cu, and GPUs of each generation can run them."""

import pytest

from tools import cuda

GENERATIONS = (75, 80, 86, 89, 90, 100, 120)

pytestmark = pytest.mark.skipif(not cuda.installed(), reason="the CUDA toolkit is not installed here")


def test_what_is_shipped_is_what_nvcc_makes_of_the_source() -> None:
    shipped = cuda.PTX.read_text()
    if cuda.release() not in shipped.partition("\n")[0]:
        pytest.skip(f"nvcc {cuda.release()} is not the one that exact.ptx was made with")
    assert shipped == cuda.compiled(), "run `python tools/cuda.py`"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_generation_of_gpus_has_machine_code_for_it(generation: int) -> None:
    """As the driver makes it when a node starts: from Turing to Blackwell."""
    code = cuda.assemble(cuda.PTX.read_text(), generation)
    assert code.startswith(b"\x7fELF")
    assert all(name in code for name in (b"multiply_f32", b"multiply_f64", b"look_up"))
