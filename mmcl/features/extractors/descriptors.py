"""Visual features that need no weights: colour, edges and motion in a grid.

They know nothing of objects: good for demos, tests and scenes that differ in just that, no rival to a network trained
on many videos.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from mmcl.features.extractors._base import VisualExtractor

GRID, SIDE = 8, 64  # cells a side, pixels a side
N_DIRECTIONS, N_QUARTERS = 8, 4


class Descriptors(VisualExtractor):
    """1024 numbers a snippet: colour, change of brightness, edges and motion of 8 x 8 cells.

    Of each cell: colour (3, means), change (1, spread of brightness over the snippet), edges (8 directions, share of
    the gradient) and motion (4 quarters of the snippet, mean change from frame to frame).

    forward: frames ``(snippet, 16, height, width, 3)`` uint8 -> ``(snippet, 1, 1024)``.

    Example:
        >>> Descriptors()(torch.zeros(2, 16, 64, 80, 3, dtype=torch.uint8)).shape
        torch.Size([2, 1, 1024])
    """

    dim, short_side = 1024, SIDE

    def forward(self, frames: Tensor) -> Tensor:
        n = len(frames)
        x = rearrange(frames, "snippet frame h w c -> (snippet frame) c h w").float() / 255
        x = nn.functional.adaptive_avg_pool2d(x, SIDE)
        grey = x.mean(1, keepdim=True)

        def over_time(y):
            return rearrange(y, "(snippet frame) c h w -> snippet frame c h w", snippet=n)

        def cells(y):
            return nn.functional.adaptive_avg_pool2d(y, GRID).flatten(1)

        colour = over_time(x).mean(1)
        change = over_time(grey).std(1)
        steps = over_time(grey).diff(dim=1).abs()[:, :, 0]
        quarters = torch.stack([q.mean(1) for q in steps.tensor_split(N_QUARTERS, dim=1)], 1)
        groups = [cells(colour), 4 * cells(change), self._edges(grey, n), 8 * cells(quarters)]
        return torch.cat(groups, 1)[:, None]

    @staticmethod
    def _edges(grey: Tensor, n: int) -> Tensor:
        """``(snippet, 8 * 8 * 8)``: root of the gradient's strength, by direction and cell."""
        padded = nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")[:, 0]
        dx = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
        dy = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
        strength = (dx.square() + dy.square()).pow(0.25)
        direction = (torch.atan2(dy, dx) * (N_DIRECTIONS / (2 * torch.pi))).floor().long() % N_DIRECTIONS
        cell = torch.arange(SIDE, device=grey.device) // (SIDE // GRID)
        cell = cell[:, None] * GRID + cell
        own = torch.arange(n, device=grey.device).repeat_interleave(len(grey) // n)[:, None, None]
        bin_idx = (own * N_DIRECTIONS + direction) * GRID**2 + cell
        total = strength.new_zeros(n * N_DIRECTIONS * GRID**2)
        total.scatter_add_(0, bin_idx.flatten(), strength.flatten())
        return total.view(n, -1) * (n * GRID**2 / strength.numel())
