"""T learns."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import PairMetadata


class LearnableTemperature(nn.Module):
    """T learns.

    Cosine over a temperature that learns with the rest, from ``low`` to ``high``.

    Args:
        temperature: At the start.
        low: Smallest.
        high: Largest.

    Reference:
        CLIP, ICML 2021 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> p = example_batch()
        >>> LearnableTemperature()(p.query, p.negatives, p.metadata, p.negative_metadata).shape
        torch.Size([4, 6])
    """

    formula = "CLIP [C]"
    use_when = "| cos / exp(p)"
    source = "`test_learnable_temperature_learns`"

    requires: frozenset[str] = frozenset()

    def __init__(self, temperature: float = 0.1, low: float = 0.01, high: float = 1.0):
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(temperature)))
        self.low, self.high = math.log(low), math.log(high)

    @property
    def scale(self) -> Tensor:
        """``1 / temperature``, within its bounds."""
        return (-self.log.clamp(self.low, self.high)).exp()

    def forward(self, query: Tensor, negative: Tensor, about: PairMetadata, negative_metadata: PairMetadata) -> Tensor:
        return query @ negative.T * self.scale

    def paired(self, query: Tensor, positive: Tensor, about: PairMetadata, positive_metadata: PairMetadata) -> Tensor:
        """Logits of each query with its own positive, ``(query,)``."""
        return (query * positive).sum(-1) * self.scale
