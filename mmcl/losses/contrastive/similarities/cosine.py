"""Cosine over a temperature."""

from __future__ import annotations

from torch import Tensor, nn

from mmcl.losses.contrastive.context import PairMetadata


class Cosine(nn.Module):
    """Cosine over a temperature.

    Args:
        temperature: Divides the cosine.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> p = example_batch()
        >>> Cosine()(p.query, p.negatives, p.metadata, p.negative_metadata).shape
        torch.Size([4, 6])
    """

    formula = r"\cos(z_i, z_j) / \tau"
    use_when = "the default"
    source = ""

    requires: frozenset[str] = frozenset()

    def __init__(self, temperature: float = 0.1):
        super().__init__()
        self.temperature = temperature

    def forward(
        self, query: Tensor, negatives: Tensor, metadata: PairMetadata, negative_metadata: PairMetadata
    ) -> Tensor:
        return query @ negatives.T / self.temperature

    def paired(
        self, query: Tensor, positive: Tensor, metadata: PairMetadata, positive_metadata: PairMetadata
    ) -> Tensor:
        """Logits of each query with its own positive, ``(query,)``."""
        return (query * positive).sum(-1) / self.temperature
