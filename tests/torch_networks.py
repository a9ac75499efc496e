"""Networks that between them make `torch.onnx.export` write every operator of score-v1. Needs torch."""

import io
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Network(NamedTuple):
    """A module that gives logits, and the shape of its rows; with a vocabulary, rows are whole numbers below it."""

    module: nn.Module
    shape: tuple[int, ...]
    vocabulary: int = 0

    def rows(self, count: int) -> torch.Tensor:
        shape = (count, *self.shape)
        return torch.randint(self.vocabulary, shape) if self.vocabulary else torch.randn(shape)


class Wired(nn.Module):
    """A forward pass written as a function of the input and some layers."""

    def __init__(self, function: Callable[..., torch.Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, *self.layers)


class Masked(nn.Module):
    """Causal attention by hand over an embedding, as textbooks write it."""

    def __init__(self) -> None:
        super().__init__()
        self.entries, self.positions = nn.Embedding(20, 16), nn.Parameter(torch.randn(8, 16))
        self.three, self.leave, self.norm = nn.Linear(16, 48), nn.Linear(16, 5), nn.LayerNorm(16)
        self.register_buffer("mask", torch.tril(torch.ones(8, 8)).bool())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.entries(tokens) + self.positions
        q, k, v = (part.view(-1, 8, 2, 8).transpose(1, 2) for part in self.three(self.norm(x)).chunk(3, -1))
        seen = torch.where(self.mask, q @ k.transpose(-1, -2) / math.sqrt(8), torch.tensor(float("-inf")))
        return self.leave((seen.softmax(-1) @ v).transpose(1, 2).reshape(-1, 8, 16)[:, -1])


class Recurring(nn.Module):
    """All states at the last place of the sequence, beside the last states."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.layers = kind(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.leave = nn.Linear(30, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        every, last = self.layers(x)
        state = last[0] if isinstance(last, tuple) else last
        return self.leave(torch.cat([every[:, -1], state.transpose(0, 1).flatten(1)], 1))


def _functions(x: torch.Tensor, first: nn.Module, norm: nn.Module, leave: nn.Module) -> torch.Tensor:
    y = norm(first(x))
    y = torch.erf(y) + functional.gelu(x) * functional.gelu(y, approximate="tanh") - functional.leaky_relu(x, 0.1) / 3
    y = torch.sigmoid(y) * torch.tanh(x) + (y.pow(2) + 1).sqrt().neg() + functional.relu(y - x.mean(-1, keepdim=True))
    return leave(functional.log_softmax(y, -1))


def _moves(x: torch.Tensor, leave: nn.Module) -> torch.Tensor:
    parts = [
        x[:, ::2].flatten(1),
        x.permute(0, 2, 1).reshape(-1, 24)[:, 3:9],
        x.mean(1, keepdim=True).squeeze(1),
        x.unsqueeze(1).expand(-1, 2, 4, 6)[:, 1, 0],
        torch.stack(x.split(3, 2), 1).flatten(1),
        x[:, 1][:, torch.tensor([0, 2, 5])],
    ]
    return leave(torch.cat(parts, 1))


def networks() -> dict[str, Network]:
    """Evaluated once, so that every size is known, with parameters of which no two are equal."""
    picture = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, dilation=2, padding=2, groups=4), nn.MaxPool2d(2), nn.Conv2d(8, 6, 4, padding="same"),
        nn.AvgPool2d(2, padding=1), nn.AvgPool2d(2, 1, padding=1, count_include_pad=False), nn.Conv2d(6, 6, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(6, 4),
    )  # fmt: skip
    sound = nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(24, 3)
    )
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True, activation="gelu")
    made = {
        "functions": Network(Wired(_functions, nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), (8,)),
        "picture": Network(picture, (3, 32, 32)),
        "sound": Network(sound, (2, 12)),
        "masked": Network(Masked(), (8,), 20),
        "encoder": Network(nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 3)), (4, 16)),
        "lstm": Network(Recurring(nn.LSTM), (5, 6)),
        "gru": Network(Recurring(nn.GRU), (5, 6)),
        "moves": Network(Wired(_moves, nn.Linear(57, 3)), (4, 6)),
    }
    torch.manual_seed(4)
    with torch.no_grad():
        for each in made.values():
            each.module.train()(each.rows(8))  # statistics of norms
            for parameter in each.module.eval().parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def export(network: Network, ending: nn.Module, *, dynamo: bool, opset: int) -> bytes:
    """The ONNX file, for any number of rows, of a network and what follows its logits, by one of two exporters."""
    buffer, module = io.BytesIO(), nn.Sequential(network.module, ending).eval()
    named: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "rows"}}}
    if dynamo:
        named = {"dynamic_shapes": ({0: torch.export.Dim("rows")},), "external_data": False, "verbose": False}
    torch.onnx.export(module, (network.rows(2),), buffer, dynamo=dynamo, opset_version=opset, **named)
    return buffer.getvalue()
