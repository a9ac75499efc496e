"""P9.4: a node runs known answers at start, and does not vote if one differs."""

from typing import Any

import numpy as np
import pytest
from score_graphs import EXAMPLES
from score_vectors import outputs_of

from heldout.kernels import child
from heldout.kernels.devices.interface import Exact
from heldout.kernels.devices.numpy import NumpyDevice
from heldout.kernels.errors import SelfTestFailed
from heldout.kernels.known_answers import known_answers, self_test

VECTORS = {vector["name"]: vector for vector in known_answers()}


class WrongDevice(NumpyDevice):
    """A device that is off by the last bit, in one sum of one row."""

    name = "wrong"

    def multiply(self, left: Exact, right: Exact) -> Exact:
        sums = super().multiply(left, right)
        sums[..., -1, -1] = np.nextafter(sums[..., -1, -1], np.inf)
        return sums


def test_this_machine_reproduces_every_known_answer() -> None:
    """P9.4, here and in the process that a node starts."""
    assert self_test() == len(VECTORS) > 20
    assert child.self_test() == len(VECTORS)


def test_one_wrong_bit_fails_the_self_test() -> None:
    """P9.4."""
    with pytest.raises(SelfTestFailed, match="wrong"):
        self_test(WrongDevice())


def test_there_is_a_known_answer_for_each_operator_and_for_sums_at_their_bounds() -> None:
    assert VECTORS.keys() == {example.name for example in EXAMPLES} | {"bound_gemm", "bound_conv", "bound_gemm_53"}


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_known_answers_are_those_of_rational_arithmetic(vector: dict[str, Any]) -> None:
    """P9.2: the files were not written by what they test."""
    assert outputs_of(vector) == vector["outputs"]
