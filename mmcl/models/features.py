"""Encoder of precomputed features: what a frozen front-end saw in each snippet, with its neighbours."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.models.attention import AttentionLayer
from mmcl.models.conv import ConvBlock, hop_mask
from mmcl.models.norm import Norm


def over_windows(x: Tensor, hops_per_window: int) -> Tensor:
    """Rows a hop, ``(bag, dim, hop)``, to their means over windows, ``(bag, dim, snippet)``."""
    return x if hops_per_window == 1 else nn.functional.avg_pool1d(x, hops_per_window, 1)


class FeatureEncoder(nn.Module):
    """Rows of features ``(bag, snippet, channel)`` -> ``(bag, snippet, dim)``: standardised by the
    training data's statistics (``fit``), projected, a masked convolution over three snippets, then
    ``n_layers`` of attention within ``reach`` snippets. Rows come a hop; of windows of several hops the mean is taken."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        n_channels: int,
        dim: int = 128,
        *,
        dropout: float = 0.1,
        n_heads: int = 4,
        n_layers: int = 1,
        reach: int | None = 4,
        norm: Norm = "batch",
        hops_per_window: int = 1,
    ):
        super().__init__()
        self.hops_per_window = hops_per_window
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("std", torch.ones(n_channels))
        self.blocks = nn.ModuleList(
            [ConvBlock(n_channels, dim, 1, 1, dropout, norm), ConvBlock(dim, dim, 3, 1, dropout, norm)]
        )
        self.layers = nn.ModuleList(
            AttentionLayer(dim, n_heads, 2 * dim, dropout, reach) for _ in range(n_layers)
        )
        self.context: int | None = None if reach is None and n_layers else 1 + n_layers * (reach or 0)

    def fit(self, mean: Tensor, std: Tensor) -> None:
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=1e-3 * float(std.max()) + 1e-6))  # a dead channel stays small

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = hop_mask(mask, self.hops_per_window).to(x.dtype)
        x = rearrange((x - self.mean) / self.std, "bag snippet channel -> bag channel snippet")
        for block in self.blocks:
            x = block(x, real)
        x = rearrange(over_windows(x, self.hops_per_window), "bag dim snippet -> bag snippet dim")
        for layer in self.layers:
            x = layer(x, x, mask)
        return x
