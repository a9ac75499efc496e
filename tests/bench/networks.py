"""Networks for the scoring bench: trained for a moment on scikit-learn's digits, exported as anybody would.

Its 1,797 images are too few to tell a tenth of a point: 500 are held out, and of each 20 variants are scored.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

STEPS = 600
HELD_OUT = 500
VARIANTS = 20


@dataclass
class Network:
    """A module, and the shape its rows take."""

    module: nn.Module
    shape: tuple[int, ...]


class Block(nn.Module):
    """Attention that sees no later position, and two linear layers with GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.three, self.one = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        parts = self.three(self.first(x)).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        x = x + self.one(seen.transpose(1, 2).reshape(n, length, width))
        return x + self.down(functional.gelu(self.up(self.second(x))))


class Transformer(nn.Module):
    """4 layers of width 256 over 16 positions, patches of 2 by 2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(4, 256)
        self.positions = nn.Parameter(torch.randn(16, 256) * 0.1)
        self.blocks = nn.Sequential(*(Block(256, 4) for _ in range(4)))
        self.norm, self.leave = nn.LayerNorm(256), nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(self.norm(self.blocks(self.enter(x) + self.positions)).mean(1))


def mlp() -> Network:
    layers = (nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return Network(nn.Sequential(*layers), (784,))


def cnn() -> Network:
    layers = (
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 10),
    )  # fmt: skip
    return Network(nn.Sequential(*layers), (1, 28, 28))


def transformer() -> Network:
    return Network(Transformer(), (16, 4))


NETWORKS = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


def trained(network: Network, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Trains in place, on images of which none is held out, each drawn anew in every step.

    Gives the held-out rows and their classes: `VARIANTS` of each image, one after the other.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
    images = functional.interpolate(images, size=(28, 28), mode="bilinear")
    labels, random = torch.tensor(digits.target), torch.Generator().manual_seed(3)
    order = torch.randperm(len(images), generator=random)
    train, test = order[:-HELD_OUT], order[-HELD_OUT:].repeat_interleave(VARIANTS)
    batch = 32 if isinstance(network.module, Transformer) else 64
    optimizer = torch.optim.AdamW(network.module.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    network.module.train()
    for _ in range(steps):
        chosen = train[torch.randint(len(train), (batch,), generator=random)]
        optimizer.zero_grad()
        rows = as_rows(network, drawn(images[chosen], random))
        functional.cross_entropy(network.module(rows), labels[chosen]).backward()
        optimizer.step()
        rate.step()
    network.module.eval()
    return as_rows(network, drawn(images[test], random)).numpy(), labels[test].numpy()


def drawn(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """The same digits [n, 1, 28, 28] as other hands draw them: turned, moved, larger or smaller, with some noise."""
    n = len(images)
    angle, scale, across, down = (torch.rand(n, generator=random) * 2 - 1 for _ in range(4))
    cosine, sine = torch.cos(angle * 0.2) * (1 + scale * 0.1), torch.sin(angle * 0.2) * (1 + scale * 0.1)
    moves = torch.stack([cosine, -sine, across * 0.1, sine, cosine, down * 0.1], 1).view(n, 2, 3)
    grid = functional.affine_grid(moves, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    return moved + 0.05 * torch.randn(images.shape, generator=random)


def as_rows(network: Network, images: torch.Tensor) -> torch.Tensor:
    """Images in the shape that a network takes: for the transformer 8 by 8 pixels, in patches of 2 by 2."""
    if isinstance(network.module, Transformer):
        return functional.unfold(functional.interpolate(images, size=(8, 8), mode="area"), 2, stride=2).transpose(1, 2)
    return images.reshape(-1, *network.shape)


def exported(module: nn.Module, rows: np.ndarray) -> tuple[bytes, dict[str, np.ndarray]]:
    """The ONNX file, and the tensors that a submission would hold."""
    import onnx

    from heldout.kernels.loader import load

    buffer = io.BytesIO()
    sizes: Any = ({0: torch.export.Dim("rows")},)
    example = (torch.from_numpy(rows[:2]),)
    torch.onnx.export(module, example, buffer, dynamo=True, dynamic_shapes=sizes, external_data=False, verbose=False)
    data = buffer.getvalue()
    values = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(data).graph.initializer}
    return data, {name: np.array(values[name]) for name in load(data).weights}
