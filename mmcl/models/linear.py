"""Encoder for precomputed features: one row is one snippet."""

from __future__ import annotations

from torch import Tensor, nn


class LinearEncoder(nn.Module):
    """``(bag, snippet, channel)`` -> ``(bag, snippet, dim)`` by one linear map (MACIL-SD)."""

    context = 0

    def __init__(self, n_channels: int, dim: int):
        super().__init__()
        self.project = nn.Linear(n_channels, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.project(x)
