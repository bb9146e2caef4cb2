"""Heads with temperatures of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import ContrastBatch, PairMetadata
from mmcl.types import l2_normalize


class MultiHead(nn.Module):
    """Heads with temperatures of their own.

    Several projections, each pair and head with a temperature of its own: ``s_ij = sum_h cos_h(i, j) / t_ij^h``.

    ``t = low + (high - low) sigmoid(phi_h(a_i, k_j))``, phi_h bilinear in the heads' projections; the penalty
    ``weight mean(D/2 log t + 1/t)`` keeps temperatures from running off.

    Args:
        dim: Size of the embeddings.
        n_heads: Projections.
        hidden: Size of a projection's hidden layer.
        low: Smallest temperature.
        high: Largest temperature.
        weight: Of the penalty.

    Reference:
        Wang et al., "Adaptive multi-head contrastive learning" (AMCL), ECCV 2024 [P]; the public code does not run.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> p = example_batch()
        >>> MultiHead(8)(p.query, p.negatives, p.metadata, p.negative_metadata).shape
        torch.Size([4, 6])
    """

    formula = r"\sum_h \cos_h(z_i, z_j) / \tau^h_{ij}"
    use_when = 'several senses of "alike"'
    source = "AMCL [P]"

    requires: frozenset[str] = frozenset()

    def __init__(
        self,
        dim: int,
        n_heads: int = 3,
        hidden: int = 128,
        low: float = 0.05,
        high: float = 2.0,
        weight: float = 0.1,
    ):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim)) for _ in range(n_heads)
        )
        self.bilinear = nn.Parameter(torch.zeros(n_heads, dim, dim))
        # begins at a mean of temperatures of about .1 for each of the heads together
        self.bias = nn.Parameter(torch.full((n_heads,), -3.0))
        self.low, self.high, self.weight, self.dim = low, high, weight, dim

    def _temperature(self, phi: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * phi.sigmoid()

    def forward(
        self, query: Tensor, negatives: Tensor, metadata: PairMetadata, negative_metadata: PairMetadata
    ) -> Tensor:
        total: Tensor | float = 0.0
        for h, head in enumerate(self.heads):
            a, k = l2_normalize(head(query)), l2_normalize(head(negatives))
            total = total + a @ k.T / self._temperature(a @ self.bilinear[h] @ k.T + self.bias[h])
        assert isinstance(total, Tensor)
        return total

    def paired(
        self, query: Tensor, positive: Tensor, metadata: PairMetadata, positive_metadata: PairMetadata
    ) -> Tensor:
        """Logits of each query with its own positive, ``(query,)``."""
        return torch.stack([c / t for c, t in self._pairs(query, positive)]).sum(0)

    def _pairs(self, query: Tensor, positive: Tensor) -> list[tuple[Tensor, Tensor]]:
        heads = []
        for h, head in enumerate(self.heads):
            a, b = l2_normalize(head(query)), l2_normalize(head(positive))
            phi = ((a @ self.bilinear[h]) * b).sum(-1) + self.bias[h]
            heads.append(((a * b).sum(-1), self._temperature(phi)))
        return heads

    def penalty(self, pairs: ContrastBatch) -> Tensor:
        """Keeps temperatures from running off; added to the loss."""
        t = torch.stack([t for _, t in self._pairs(pairs.query, pairs.positive)])
        return self.weight * (self.dim / 2 * t.log() + 1 / t).mean()
