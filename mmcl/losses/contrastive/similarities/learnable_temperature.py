"""Cosine over a temperature that is learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import PairMetadata


class LearnableTemperature(nn.Module):
    """Cosine over a temperature that is learned with the rest, from ``low`` to ``high``.

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

    formula = r"\cos(z_i, z_j) / e^{p}"
    use_when = "the temperature is not known"
    source = "CLIP [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, temperature: float = 0.1, low: float = 0.01, high: float = 1.0):
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(temperature)))
        self.low, self.high = math.log(low), math.log(high)

    @property
    def scale(self) -> Tensor:
        """``1 / temperature``, within its bounds."""
        return (-self.log.clamp(self.low, self.high)).exp()

    def forward(
        self, query: Tensor, negatives: Tensor, metadata: PairMetadata, negative_metadata: PairMetadata
    ) -> Tensor:
        return query @ negatives.T * self.scale

    def paired(
        self, query: Tensor, positive: Tensor, metadata: PairMetadata, positive_metadata: PairMetadata
    ) -> Tensor:
        """Logits of each query with its own positive, ``(query,)``."""
        return (query * positive).sum(-1) * self.scale
