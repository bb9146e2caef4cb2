"""An encoder: mean and spread of a window, then one linear layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcl.types import Shape


class Mean(nn.Module):
    """Mean and standard deviation of each window, mapped to the embedding."""

    kinds = ("inertial", "toy-pressure")
    fits_statistics = False

    def __init__(self, shape: Shape, dim: int, frames_per_hop: int, hops_per_window: int):
        super().__init__()
        channels = shape if isinstance(shape, int) else math.prod(shape)
        self.hop, self.window = frames_per_hop, frames_per_hop * hops_per_window
        self.linear = nn.Linear(2 * channels, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        windows = x.flatten(2).unfold(1, self.window, self.hop)  # (bag, snippet, channel, frame)
        return self.linear(torch.cat([windows.mean(-1), windows.std(-1)], -1)) * mask[..., None]
