"""Encoders of raw sensor streams: convolution within a window, attention between windows.

Both take ``x (bag, frame, ...)`` on the clock's grid and ``mask (bag, snippet)`` and return
``(bag, snippet, dim)``. Strides bring every hop down to two frames; then each window becomes exactly
one embedding: by a last convolution as long as the window, or by the mean and the maximum over it, which
suits windows that hold a whole trimmed action, wherever in them it is. Attention over time then lets
a snippet look at its neighbours, no further than ``reach``.
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
Window = Literal["convolution", "pool"]


class SnippetConv(nn.Module):
    """``(bag, channel, frame)`` -> ``(bag, snippet, dim)``: halve the rate until two frames a hop
    are left, one embedding per window, then ``n_layers`` of attention within ``reach`` snippets.

    widths: channels of the blocks; the last ones stride by 2 each, as many as the rate asks for, but
    with window "pool" the very last does not (it sees the window at its final rate).
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
        reach: int | None,
        norm: Norm,
        window: Window = "convolution",
    ):
        super().__init__()
        pooled = window == "pool"
        n_strided = (frames_per_hop // FRAMES_LEFT).bit_length() - 1
        most = len(widths) - pooled
        if FRAMES_LEFT * 2**n_strided != frames_per_hop or n_strided > most:
            raise InputError(
                f"frames_per_hop: expected 2 to the power of 1 to {most + 1} for {len(widths)} blocks, got {frames_per_hop}"
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
            PooledWindow(widths[-1], dim, n_frames)
            if pooled
            else nn.Conv1d(widths[-1], dim, n_frames, FRAMES_LEFT)
        )
        self.layers = nn.ModuleList(
            AttentionLayer(dim, n_heads, 2 * dim, dropout, reach) for _ in range(n_layers)
        )
        n_seen = sum((kernel // 2) * math.prod(self.strides[:i]) for i in range(len(self.strides)))
        receptive_hops = 1 + n_seen // frames_per_hop
        self.context: int | None = (
            None if reach is None and n_layers else receptive_hops + n_layers * (reach or 0)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = frame_mask(mask, self.hops_per_window, self.frames_per_hop).to(x.dtype)
        for block, stride in zip(self.blocks, self.strides, strict=True):
            x = block(x, real)
            real = real[:, ::stride]
        x = rearrange(self.window(x * real[:, None]), "bag dim snippet -> bag snippet dim")
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


class InertialEncoder(nn.Module):
    """Inertial samples ``(bag, frame, channel)``; mean and spread of the training data are kept as
    buffers (``fit``), so that raw units go in at any time."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        n_channels: int = 6,
        dim: int = 128,
        *,
        widths: tuple[int, ...] = (),
        kernel: int = 5,
        frames_per_hop: int = 16,
        hops_per_window: int = 2,
        dropout: float = 0.1,
        n_heads: int = 4,
        n_layers: int = 1,
        reach: int | None = 4,
        norm: Norm = "batch",
        window: Window = "convolution",
    ):
        super().__init__()
        widths = widths or {"convolution": (48, 96, 128), "pool": (72, 72, 96, 96, 96)}[window]
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("std", torch.ones(n_channels))
        self.time = SnippetConv(
            n_channels,
            widths,
            dim,
            frames_per_hop=frames_per_hop,
            hops_per_window=hops_per_window,
            kernel=kernel,
            dropout=dropout,
            n_heads=n_heads,
            n_layers=n_layers,
            reach=reach,
            norm=norm,
            window=window,
        )
        self.context = self.time.context

    def fit(self, mean: Tensor, std: Tensor) -> None:
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=1e-6))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.time(((x - self.mean) / self.std).transpose(1, 2), mask)


class SkeletonEncoder(nn.Module):
    """Joint positions ``(bag, frame, joint, coordinate)``, centred and scaled, with their velocities.

    joints: how joints meet. "co-occurrence" (Li et al., IJCAI 2018): each joint's coordinates make
    features of their own first, then joints are channels that every filter sees at once. "graph":
    features are mixed along a learned, normalised joint graph, then joints are averaged in groups.
    "flat": coordinates of all joints are channels from the start.
    """

    def __init__(
        self,
        n_joints: int = 20,
        dim: int = 128,
        *,
        n_coordinates: int = 3,
        joints: Literal["co-occurrence", "graph", "flat"] = "co-occurrence",
        point: int = 8,
        widths: tuple[int, ...] = (),
        kernel: int = 3,
        frames_per_hop: int = 8,
        hops_per_window: int = 2,
        dropout: float = 0.1,
        n_heads: int = 4,
        n_layers: int = 1,
        reach: int | None = 4,
        norm: Norm = "batch",
        window: Window = "convolution",
    ):
        super().__init__()
        widths = widths or {"convolution": (64, 96, 128), "pool": (96, 96, 128, 128)}[window]
        self.joints, self.frames_per_hop, self.hops_per_window = joints, frames_per_hop, hops_per_window
        n_raw = 2 * n_coordinates  # position and velocity
        if joints != "flat":
            self.point = nn.Linear(n_raw, point)
        if joints == "graph":
            self.graph = nn.Parameter(torch.eye(n_joints) + torch.randn(n_joints, n_joints) / n_joints)
            self.mix = nn.Linear(point, point)
        n_channels = n_joints * (n_raw if joints == "flat" else point)
        self.time = SnippetConv(
            n_channels,
            widths,
            dim,
            frames_per_hop=frames_per_hop,
            hops_per_window=hops_per_window,
            kernel=kernel,
            dropout=dropout,
            n_heads=n_heads,
            n_layers=n_layers,
            reach=reach,
            norm=norm,
            window=window,
        )
        self.context = self.time.context

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = frame_mask(mask, self.hops_per_window, self.frames_per_hop).to(x.dtype)
        x = torch.cat([x, self.velocity(x, real)], -1)
        if self.joints != "flat":
            x = torch.relu(self.point(x))
        if self.joints == "graph":
            x = torch.relu(torch.einsum("jk,bfkc->bfjc", self.graph.softmax(1), self.mix(x))) + x
        return self.time(rearrange(x, "bag frame joint channel -> bag (joint channel) frame"), mask)

    def velocity(self, x: Tensor, real: Tensor) -> Tensor:
        """Central difference, in units a hop; 0 at the ends of the recording."""
        v = torch.zeros_like(x)
        v[:, 1:-1] = (x[:, 2:] - x[:, :-2]) * (self.frames_per_hop / 2)
        ends = torch.nn.functional.pad(real, (1, 1))
        return v * (ends[:, 2:] * ends[:, :-2])[..., None, None]
