"""What a device must do. NumPy is the reference; torch, CUDA and Vulkan are other folders with the same bits (P9.3)."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heldout.kernels.graph import Graph

Array = NDArray[np.float32]
"""binary32 tensor, rows first: what steps hand to each other on every device."""


class Model(Protocol):
    """A graph with weights, ready to run."""

    def __call__(self, rows: Array) -> Array:
        """Outputs [n, outputs] of `rows` [n, *input shape]; each row's bits depend on that row alone.

        Raises OutOfRange if a value leaves the range of docs/score-v0.md.
        """
        ...


class Device(Protocol):
    name: str

    def load(self, graph: Graph, weights: Mapping[str, Array]) -> Model:
        """Raises OutOfRange if the weights themselves leave the range."""
        ...
