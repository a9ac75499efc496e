"""A window that slides over height and width: its places and its cells."""

from collections.abc import Iterator
from dataclasses import dataclass

from heldout.kernels.errors import BadGraph

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Pairs are (height, width); `begin` and `end` are paddings."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    begin: tuple[int, int] = (0, 0)
    end: tuple[int, int] = (0, 0)

    @property
    def padded(self) -> bool:
        return self.begin + self.end != (0, 0, 0, 0)

    @property
    def cells(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def output(self, size: Shape) -> tuple[int, int]:
        """Height and width of the result. Raises BadGraph if the window does not fit once."""
        height, width = (self._length(size[axis], axis) for axis in (0, 1))
        return height, width

    def offsets(self) -> Iterator[tuple[int, int]]:
        """The offset of each cell of the window in the padded input, down and across."""
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                yield row * self.dilations[0], column * self.dilations[1]

    def _length(self, size: int, axis: int) -> int:
        reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1
        free = size + self.begin[axis] + self.end[axis] - reach
        if free < 0:
            raise BadGraph(f"a window of {reach} does not fit in {size} with its padding")
        return free // self.strides[axis] + 1
