"""P9.3: the CUDA kernels that are shipped are those of exact.cu, and GPUs of each generation can run them."""

import re

import pytest

from tools import cuda

GENERATIONS = (75, 80, 86, 89, 90, 100, 120)

pytestmark = pytest.mark.skipif(not cuda.installed(), reason="the CUDA toolkit is not installed here")


def test_what_is_shipped_is_what_nvcc_makes_of_the_source() -> None:
    """To the letter, if it is the nvcc that the first line names; another one words the same kernels in its own way."""
    shipped, made = cuda.PTX.read_text(), cuda.compiled()
    if cuda.release() in shipped.partition("\n")[0]:
        assert shipped == made, "run `python tools/cuda.py`"
    assert entries(made) == entries(shipped) > set()
    assert cuda.assemble(made, cuda.GENERATION).startswith(b"\x7fELF")


def entries(ptx: str) -> set[str]:
    return set(re.findall(r"\.entry (\w+)\(", ptx))


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_generation_of_gpus_has_machine_code_for_it(generation: int) -> None:
    """As the driver makes it when a node starts: from Turing to Blackwell."""
    code = cuda.assemble(cuda.PTX.read_text(), generation)
    assert code.startswith(b"\x7fELF")
    assert all(name in code for name in (b"multiply_f32", b"multiply_f64", b"look_up"))
