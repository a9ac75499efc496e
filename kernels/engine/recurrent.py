"""LSTM and GRU, one place of the sequence after the other, each direction by itself."""

from collections.abc import Iterator

import numpy as np

from heldout.kernels.devices.interface import Array, Device
from heldout.kernels.engine.grid import check_range
from heldout.kernels.engine.sums import Matrix, Static, Step
from heldout.kernels.operators import Recurrent
from heldout.kernels.tables import table


def recurrent(operator: Recurrent, static: Static, device: Device) -> Step:
    cells = [_Cell(operator, static, device, direction) for direction in range(len(operator.reverse))]

    def step(x: Array, *states: Array) -> Array:
        """[n, sequence, batch, terms] to [n, sequence, directions, batch, hidden]."""
        n, length, batch, _ = x.shape
        result = np.empty((n, length, len(cells), batch, operator.hidden), np.float32)
        given = dict(zip(operator.states, states, strict=True))
        empty = np.zeros((1, len(cells), batch, operator.hidden), np.float32)
        for direction, cell in enumerate(cells):
            hidden, memory = (
                np.broadcast_to(
                    check_range(given.get(name, empty))[:, direction],
                    (n, batch, operator.hidden),
                )
                for name in ("h", "c")
            )
            places = range(length)[::-1] if operator.reverse[direction] else range(length)
            for place, state in zip(places, cell.run(x[:, places], hidden, memory), strict=True):
                result[:, place, direction] = state
        return result

    return step


class _Cell:
    """One direction's weights."""

    def __init__(self, operator: Recurrent, static: Static, device: Device, direction: int) -> None:
        rows = operator.gates * operator.hidden
        bias = static[operator.bias][direction] if operator.bias else np.zeros(2 * rows, np.float32)
        self._input = Matrix(static[operator.weight][direction], bias[:rows], operator.widths, device)
        self._hidden = Matrix(
            static[operator.recurrence][direction],
            bias[rows:],
            operator.hidden_widths,
            device,
        )
        self._device = device
        self._next = {"LSTM": self._lstm, "GRU": self._gru}[operator.kind]

    def run(self, x: Array, hidden: Array, memory: Array) -> Iterator[Array]:
        """The hidden state [n, batch, hidden] after each place of `x` [n, sequence, batch, terms]."""
        inputs = self._input(x)
        for place in range(x.shape[1]):
            hidden, memory = self._next(inputs[:, place], hidden, memory)
            yield hidden

    def _lstm(self, inputs: Array, hidden: Array, memory: Array) -> tuple[Array, Array]:
        size = hidden.shape[-1]
        gates = inputs + self._hidden(hidden)
        entered, shown, kept = np.split(self._sigmoid(gates[..., : 3 * size]), 3, axis=-1)
        memory = kept * memory + entered * self._tanh(gates[..., 3 * size :])
        return shown * self._tanh(memory), memory

    def _gru(self, inputs: Array, hidden: Array, memory: Array) -> tuple[Array, Array]:
        size = hidden.shape[-1]
        recurring = self._hidden(hidden)
        gates = self._sigmoid(inputs[..., : 2 * size] + recurring[..., : 2 * size])
        kept, reset = np.split(gates, 2, axis=-1)
        fresh = self._tanh(inputs[..., 2 * size :] + reset * recurring[..., 2 * size :])
        return (np.float32(1) - kept) * fresh + kept * hidden, memory

    def _sigmoid(self, x: Array) -> Array:
        return self._device.look_up(table("sigmoid"), check_range(x))

    def _tanh(self, x: Array) -> Array:
        return self._device.look_up(table("tanh"), check_range(x))
