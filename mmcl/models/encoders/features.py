"""Encoder of precomputed features: what a frozen extractor computed of each snippet, with its neighbours."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.models.attention import AttentionLayer
from mmcl.models.conv import ConvBlock, hop_mask
from mmcl.models.norm import Norm
from mmcl.types import Shape


def over_windows(x: Tensor, hops_per_window: int) -> Tensor:
    """Rows a hop, ``(bag, dim, hop)``, to their means over windows, ``(bag, dim, snippet)``."""
    return x if hops_per_window == 1 else nn.functional.avg_pool1d(x, hops_per_window, 1)


class FeatureEncoder(nn.Module):
    """Rows of features, standardized by the training data's statistics, projected, convolved and attended over time.

    forward: ``x (bag, hop, channel)`` and ``mask (bag, snippet)`` -> ``(bag, snippet, dim)``; of windows of several
        hops
    the mean is taken.

    Args:
        shape: Channels, or ``(channel,)``.
        dim: Size of the embeddings.
        dropout: Of channels.
        n_heads: Attention heads.
        n_layers: Attention layers.
        attention_window: Snippets to either side that attention sees, None = all.
        norm: "batch" or "layer".
        hops_per_window: Hops of a snippet.

    Example:
        >>> FeatureEncoder(5, 8)(torch.randn(2, 4, 5), torch.ones(2, 4, dtype=torch.bool)).shape
        torch.Size([2, 4, 8])
    """

    kinds = ("features",)
    fits_statistics = True

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        shape: Shape,
        dim: int = 128,
        *,
        dropout: float = 0.1,
        n_heads: int = 4,
        n_layers: int = 1,
        attention_window: int | None = 4,
        norm: Norm = "batch",
        hops_per_window: int = 1,
    ):
        super().__init__()
        n_channels = shape if isinstance(shape, int) else math.prod(shape)
        self.hops_per_window = hops_per_window
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("std", torch.ones(n_channels))
        self.blocks = nn.ModuleList(
            [ConvBlock(n_channels, dim, 1, 1, dropout, norm), ConvBlock(dim, dim, 3, 1, dropout, norm)]
        )
        self.layers = nn.ModuleList(
            AttentionLayer(dim, n_heads, 2 * dim, dropout, attention_window) for _ in range(n_layers)
        )
        self.context: int | None = (
            None if attention_window is None and n_layers else 1 + n_layers * (attention_window or 0)
        )

    def fit(self, mean: Tensor, std: Tensor) -> None:
        """Statistics of the training data, ``(channel,)`` each."""
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
