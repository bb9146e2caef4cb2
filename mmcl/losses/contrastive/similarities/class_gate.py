"""Each class pair has its subspace."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import PairMetadata, require


class ClassGate(nn.Module):
    """Each class pair has its subspace.

    Each pair of classes uses a subspace of its own: ``s_ij = sum_d a_d k_d g_d(y_i, y_j)^2 / temperature``.

    ``g = sigmoid(MLP((E[y_i] + E[y_j]) / 2))``, the gate on both sides, not normalized again; logits of all class
    pairs come from one product a class. Needs metadata.label, int.

    Args:
        dim: Size of the embeddings.
        n_classes: Number of labels.
        temperature: Divides the similarity.
        hidden: Size of the hidden layer.

    Reference:
        "Rethinking positive pairs" (Hydra, SimLAP) [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> p = example_batch()
        >>> ClassGate(8, 3)(p.query, p.negatives, p.metadata, p.negative_metadata).shape
        torch.Size([4, 6])
    """

    formula = r"\sum_d a_d\, k_d\, g_d(y_i, y_j)^2 / \tau"
    use_when = "labels are there"
    source = "SimLAP [C]"

    requires = frozenset({"labels"})

    def __init__(self, dim: int, n_classes: int, temperature: float = 0.1, hidden: int = 64):
        super().__init__()
        self.temperature, self.n_classes = temperature, n_classes
        self.embedding = nn.Embedding(n_classes, hidden)
        self.gate = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, dim))

    def _gates(self) -> Tensor:
        """``(class, class, dim)``, squared."""
        e = self.embedding.weight
        return self.gate((e[:, None] + e[None]) / 2).sigmoid().square()

    def forward(
        self, query: Tensor, negatives: Tensor, metadata: PairMetadata, negative_metadata: PairMetadata
    ) -> Tensor:
        y, y_negative = self._classes(metadata), self._classes(negative_metadata)
        gated = query[:, None] * self._gates()[y]  # query, class of the key, dim
        of_classes = torch.einsum("qcd,kd->qkc", gated, negatives)
        return of_classes.gather(2, y_negative[None, :, None].expand(len(query), -1, 1))[..., 0] / self.temperature

    def paired(
        self, query: Tensor, positive: Tensor, metadata: PairMetadata, positive_metadata: PairMetadata
    ) -> Tensor:
        """Logits of each query with its own positive, ``(query,)``."""
        gates = self._gates()[self._classes(metadata), self._classes(positive_metadata)]
        return (query * positive * gates).sum(-1) / self.temperature

    def _classes(self, metadata: PairMetadata) -> Tensor:
        y = require(metadata.label, "class-gate", "metadata.label")
        y = y if y.ndim == 1 else torch.where(y.sum(1) > 0, y.argmax(1) + 1, 0)
        return y.clamp(0, self.n_classes - 1)
