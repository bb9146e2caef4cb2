"""The linear encoder of precomputed features."""

from __future__ import annotations

import math

from torch import Tensor, nn

from mmcl.models.encoders.features import over_windows
from mmcl.types import Shape


class LinearEncoder(nn.Module):
    """One linear map of each row (MACIL-SD), a mean over windows of several hops.

    forward: ``x (bag, hop, channel)`` and ``mask (bag, snippet)`` -> ``(bag, snippet, dim)``.

    Args:
        shape: Channels, or ``(channel,)``.
        dim: Size of the embeddings.
        hops_per_window: Hops of a snippet.

    Example:
        >>> import torch
        >>> x, mask = torch.randn(2, 4, 5), torch.ones(2, 4, dtype=torch.bool)
        >>> LinearEncoder(5, 8)(x, mask).shape
        torch.Size([2, 4, 8])
    """

    kinds = ("features",)
    fits_statistics = False
    context = 0

    def __init__(self, shape: Shape, dim: int, hops_per_window: int = 1):
        super().__init__()
        self.hops_per_window = hops_per_window
        self.project = nn.Linear(shape if isinstance(shape, int) else math.prod(shape), dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.project(x)
        if self.hops_per_window == 1:
            return y
        return over_windows(y.transpose(1, 2), self.hops_per_window).transpose(1, 2)
