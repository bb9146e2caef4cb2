"""The encoder of skeletons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.models.conv import frame_mask
from mmcl.models.encoders._snippet_conv import Pooling, SnippetConv
from mmcl.models.norm import Norm


class SkeletonEncoder(nn.Module):
    """Convolutions over joint positions, centred and scaled, with their velocities.

    forward: ``x (bag, frame, joint, coordinate)`` on the grid and ``mask (bag, snippet)`` -> ``(bag, snippet, dim)``.

    Args:
        shape: ``(joint, coordinate)``.
        dim: Size of the embeddings.
        joints: How joints are combined. "co-occurrence" (Li et al., IJCAI 2018): each joint's coordinates make features
            first, then joints are channels that every filter sees at once. "graph": features are mixed along a learned,
            normalized joint graph. "flat": coordinates of all joints are channels from the start.
        point: Features of a joint.
        widths: Channels of the convolutions.
        kernel: Frames that a convolution spans, 0 = 3.
        frames_per_hop: Frames a hop, a power of 2.
        hops_per_window: Hops of a snippet.
        dropout: Of channels.
        n_heads: Attention heads.
        n_layers: Attention layers.
        attention_window: Snippets to either side that attention sees, None = all.
        norm: "batch" or "layer".
        pooling: How a window becomes an embedding.

    Example:
        >>> encoder = SkeletonEncoder((20, 3), 8)
        >>> encoder(torch.randn(2, 5 * 8, 20, 3), torch.ones(2, 4, dtype=torch.bool)).shape
        torch.Size([2, 4, 8])
    """

    kinds = ("skeleton", "skeleton2d")
    fits_statistics = False

    def __init__(
        self,
        shape: Sequence[int] = (20, 3),
        dim: int = 128,
        *,
        joints: Literal["co-occurrence", "graph", "flat"] = "co-occurrence",
        point: int = 8,
        widths: tuple[int, ...] = (),
        kernel: int = 0,
        frames_per_hop: int = 8,
        hops_per_window: int = 2,
        dropout: float = 0.1,
        n_heads: int = 4,
        n_layers: int = 1,
        attention_window: int | None = 4,
        norm: Norm = "batch",
        pooling: Pooling = "convolution",
    ):
        super().__init__()
        widths = widths or {"convolution": (64, 96, 128), "pool": (96, 96, 128, 128)}[pooling]
        self.joints, self.frames_per_hop, self.hops_per_window = joints, frames_per_hop, hops_per_window
        n_joints, n_coordinates = shape
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
            kernel=kernel or 3,
            dropout=dropout,
            n_heads=n_heads,
            n_layers=n_layers,
            attention_window=attention_window,
            norm=norm,
            pooling=pooling,
        )
        self.context = self.time.context

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        valid = frame_mask(mask, self.hops_per_window, self.frames_per_hop).to(x.dtype)
        x = torch.cat([x, self.velocity(x, valid)], -1)
        if self.joints != "flat":
            x = torch.relu(self.point(x))
        if self.joints == "graph":
            x = torch.relu(torch.einsum("jk,bfkc->bfjc", self.graph.softmax(1), self.mix(x))) + x
        return self.time(rearrange(x, "bag frame joint channel -> bag (joint channel) frame"), mask)

    def velocity(self, x: Tensor, valid: Tensor) -> Tensor:
        """Central difference, in units a hop; 0 at the ends of the recording."""
        v = torch.zeros_like(x)
        v[:, 1:-1] = (x[:, 2:] - x[:, :-2]) * (self.frames_per_hop / 2)
        ends = torch.nn.functional.pad(valid, (1, 1))
        return v * (ends[:, 2:] * ends[:, :-2])[..., None, None]
