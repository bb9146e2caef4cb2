"""The encoder of inertial sensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcl.models.encoders._snippet_conv import Pooling, SnippetConv
from mmcl.models.norm import Norm
from mmcl.types import Shape


class InertialEncoder(nn.Module):
    """Convolutions over inertial samples; raw units go in, for mean and spread of the training data are buffers.

    forward: ``x (bag, frame, channel)`` on the grid and ``mask (bag, snippet)`` -> ``(bag, snippet, dim)``.

    Args:
        shape: Channels, or ``(channel,)``.
        dim: Size of the embeddings.
        widths: Channels of the convolutions.
        kernel: Frames that a convolution spans, 0 = 5.
        frames_per_hop: Samples a hop, a power of 2.
        hops_per_window: Hops of a snippet.
        dropout: Of channels.
        n_heads: Attention heads.
        n_layers: Attention layers.
        attention_window: Snippets to either side that attention sees, None = all.
        norm: "batch" or "layer".
        pooling: How a window becomes an embedding.

    Raises:
        InputError: ``frames_per_hop`` is no power of 2 that the convolutions can halve.

    Example:
        >>> encoder = InertialEncoder(6, 8)
        >>> encoder(torch.randn(2, 5 * 16, 6), torch.ones(2, 4, dtype=torch.bool)).shape
        torch.Size([2, 4, 8])
    """

    kinds = ("inertial",)
    fits_statistics = True

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        shape: Shape = 6,
        dim: int = 128,
        *,
        widths: tuple[int, ...] = (),
        kernel: int = 0,
        frames_per_hop: int = 16,
        hops_per_window: int = 2,
        dropout: float = 0.1,
        n_heads: int = 4,
        n_layers: int = 1,
        attention_window: int | None = 4,
        norm: Norm = "batch",
        pooling: Pooling = "convolution",
    ):
        super().__init__()
        widths = widths or {"convolution": (48, 96, 128), "pool": (72, 72, 96, 96, 96)}[pooling]
        n_channels = shape if isinstance(shape, int) else math.prod(shape)
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("std", torch.ones(n_channels))
        self.time = SnippetConv(
            n_channels,
            widths,
            dim,
            frames_per_hop=frames_per_hop,
            hops_per_window=hops_per_window,
            kernel=kernel or 5,
            dropout=dropout,
            n_heads=n_heads,
            n_layers=n_layers,
            attention_window=attention_window,
            norm=norm,
            pooling=pooling,
        )
        self.context = self.time.context

    def fit(self, mean: Tensor, std: Tensor) -> None:
        """Statistics of the training data, ``(channel,)`` each."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=1e-6))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.time(((x - self.mean) / self.std).transpose(1, 2), mask)
