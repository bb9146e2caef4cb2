"""Cosine over a temperature that learns with the rest, from ``low`` to ``high``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import PairMetadata


class LearnableTemperature(nn.Module):
    """Cosine over a temperature that learns with the rest, from ``low`` to ``high``. Source: CLIP, ICML 2021 [C]."""

    requires: frozenset[str] = frozenset()

    def __init__(self, temperature: float = 0.1, low: float = 0.01, high: float = 1.0):
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(temperature)))
        self.low, self.high = math.log(low), math.log(high)

    @property
    def scale(self) -> Tensor:
        return (-self.log.clamp(self.low, self.high)).exp()

    def forward(
        self, query: Tensor, key: Tensor, about: PairMetadata, negative_metadata: PairMetadata
    ) -> Tensor:
        return query @ key.T * self.scale

    def paired(
        self, query: Tensor, positive: Tensor, about: PairMetadata, positive_metadata: PairMetadata
    ) -> Tensor:
        return (query * positive).sum(-1) * self.scale
