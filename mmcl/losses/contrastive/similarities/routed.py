"""An expert a kind of anchor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import PairMetadata, require
from mmcl.types import l2_normalize


class Routed(nn.Module):
    """An expert a kind of anchor.

    A small expert for each domain (``metadata.domain``) moves an embedding before the cosine: ``unit(x + W_e x)``.

    Args:
        dim: Size of the embeddings.
        n_domains: Number of experts.
        temperature: Divides the cosine.

    Reference:
        mixture-of-experts sentence embeddings [A].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> p = example_batch()
        >>> Routed(8, 3)(p.query, p.negatives, p.metadata, p.negative_metadata).shape
        torch.Size([4, 6])
    """

    formula = r"\cos(x_i + W_{e(i)} x_i,\; x_j + W_{e(j)} x_j) / \tau"
    use_when = "domains that differ"
    source = "MoE [A]"

    requires = frozenset({"domain"})

    def __init__(self, dim: int, n_domains: int, temperature: float = 0.1):
        super().__init__()
        self.temperature, self.n_domains = temperature, n_domains
        self.expert = nn.Parameter(torch.zeros(n_domains, dim, dim))

    def _moved(self, x: Tensor, metadata: PairMetadata) -> Tensor:
        domain = require(metadata.domain, "routed", "metadata.domain").clamp(0, self.n_domains - 1)
        moved = torch.einsum("rd,eod->reo", x, self.expert)
        return l2_normalize(x + moved.gather(1, domain[:, None, None].expand(-1, 1, x.shape[1]))[:, 0])

    def forward(
        self, query: Tensor, negatives: Tensor, metadata: PairMetadata, negative_metadata: PairMetadata
    ) -> Tensor:
        return self._moved(query, metadata) @ self._moved(negatives, negative_metadata).T / self.temperature

    def paired(
        self, query: Tensor, positive: Tensor, metadata: PairMetadata, positive_metadata: PairMetadata
    ) -> Tensor:
        """Logits of each query with its own positive, ``(query,)``."""
        return (self._moved(query, metadata) * self._moved(positive, positive_metadata)).sum(-1) / self.temperature
