"""Encoders of raw sensor signals: convolution within a window, attention between windows.

Both take ``x (bag, frame, ...)`` on the snippet grid and ``mask (bag, snippet)`` and return
``(bag, snippet, dim)``. Strides bring every hop down to two frames; then each window becomes exactly
one embedding: by a last convolution as long as the window, or by the mean and the maximum over it, which
suits windows that hold a whole trimmed action, wherever in them it is. Attention over time then is between a snippet
and its neighbours, no further than ``attention_window``.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.errors import InputError
from mmcl.models.attention import AttentionLayer
from mmcl.models.conv import ConvBlock, frame_mask
from mmcl.models.norm import Norm

FRAMES_LEFT = 2  # frames a hop after the strides


Pooling = Literal["convolution", "pool"]


class SnippetConv(nn.Module):
    """Halve the rate until two frames a hop are left, then one embedding a window, then attention between windows.

    forward: ``x (bag, channel, frame)`` and ``mask (bag, snippet)`` -> ``(bag, snippet, dim)``.

    Args:
        n_channels: Of the signal.
        widths: Channels of the blocks; the last ones stride by 2 each, as many as the rate needs, but with pooling
            "pool" the very last does not.
        dim: Size of the embeddings.
    """

    def __init__(
        self,
        n_channels: int,
        widths: tuple[int, ...],
        dim: int,
        *,
        frames_per_hop: int,
        hops_per_window: int,
        kernel: int,
        dropout: float,
        n_heads: int,
        n_layers: int,
        attention_window: int | None,
        norm: Norm,
        pooling: Pooling = "convolution",
    ):
        super().__init__()
        pooled = pooling == "pool"
        n_strided = (frames_per_hop // FRAMES_LEFT).bit_length() - 1
        most = len(widths) - pooled
        if FRAMES_LEFT * 2**n_strided != frames_per_hop or n_strided > most:
            raise InputError(
                f"frames_per_hop: expected 2 to the power of 1 to {most + 1} for {len(widths)} blocks, got "
                f"{frames_per_hop}"
            )
        self.frames_per_hop, self.hops_per_window = frames_per_hop, hops_per_window
        self.strides = [1] * (most - n_strided) + [2] * n_strided + [1] * pooled
        sizes = (n_channels, *widths)
        self.blocks = nn.ModuleList(
            ConvBlock(i, o, kernel, stride, dropout, norm)
            for i, o, stride in zip(sizes, widths, self.strides, strict=False)
        )
        n_frames = FRAMES_LEFT * hops_per_window
        self.window = (
            PooledWindow(widths[-1], dim, n_frames) if pooled else nn.Conv1d(widths[-1], dim, n_frames, FRAMES_LEFT)
        )
        self.layers = nn.ModuleList(
            AttentionLayer(dim, n_heads, 2 * dim, dropout, attention_window) for _ in range(n_layers)
        )
        n_seen = sum((kernel // 2) * math.prod(self.strides[:i]) for i in range(len(self.strides)))
        receptive_hops = 1 + n_seen // frames_per_hop
        self.context: int | None = (
            None if attention_window is None and n_layers else receptive_hops + n_layers * (attention_window or 0)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        valid = frame_mask(mask, self.hops_per_window, self.frames_per_hop).to(x.dtype)
        for block, stride in zip(self.blocks, self.strides, strict=True):
            x = block(x, valid)
            valid = valid[:, ::stride]
        x = rearrange(self.window(x * valid[:, None]), "bag dim snippet -> bag snippet dim")
        for layer in self.layers:
            x = layer(x, x, mask)
        return x


class PooledWindow(nn.Module):
    """Mean and maximum over each window of ``n_frames``, a hop apart: ``(bag, channel, frame)`` ->
    ``(bag, dim, snippet)``."""

    def __init__(self, n_channels: int, dim: int, n_frames: int):
        super().__init__()
        self.n_frames = n_frames
        self.project = nn.Conv1d(2 * n_channels, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = nn.functional.avg_pool1d(x, self.n_frames, FRAMES_LEFT)
        # in two dimensions, for in one its export is bound to the length that it is traced with
        highest = nn.functional.max_pool2d(x[:, :, None], (1, self.n_frames), (1, FRAMES_LEFT))[:, :, 0]
        return self.project(torch.cat([mean, highest], 1))
