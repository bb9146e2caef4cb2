"""Encoder for precomputed features: one row is one snippet."""

from __future__ import annotations

from torch import Tensor, nn

from mmcl.models.features import over_windows


class LinearEncoder(nn.Module):
    """``(bag, snippet, channel)`` -> ``(bag, snippet, dim)`` by one linear map (MACIL-SD), a mean over windows of several hops."""

    context = 0

    def __init__(self, n_channels: int, dim: int, hops_per_window: int = 1):
        super().__init__()
        self.hops_per_window = hops_per_window
        self.project = nn.Linear(n_channels, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.project(x)
        return (
            y
            if self.hops_per_window == 1
            else over_windows(y.transpose(1, 2), self.hops_per_window).transpose(1, 2)
        )
