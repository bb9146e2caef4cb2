"""Cosine over a temperature."""

from __future__ import annotations

from torch import Tensor, nn

from mmcl.losses.contrastive.context import PairMetadata


class Cosine(nn.Module):
    """Cosine over a temperature."""

    requires: frozenset[str] = frozenset()

    def __init__(self, temperature: float = 0.1):
        super().__init__()
        self.temperature = temperature

    def forward(
        self, query: Tensor, key: Tensor, about: PairMetadata, negative_metadata: PairMetadata
    ) -> Tensor:
        return query @ key.T / self.temperature

    def paired(
        self, query: Tensor, positive: Tensor, about: PairMetadata, positive_metadata: PairMetadata
    ) -> Tensor:
        return (query * positive).sum(-1) / self.temperature
