"""Augments embeddings."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.types import l2_normalize


class LearnedView(nn.Module):
    """Augments embeddings.

    Augmentation learned in embedding space: each side moves by a small network of its own, ``unit(z + 0.1 MLP(z))``.

    Its weights learn with the rest; the source's alternating meta steps are left out. Use it with the adaptive
    margin, which keeps views from collapsing.

    Args:
        dim: Size of the embeddings.
        hidden: Size of the hidden layer.

    Reference:
        Qin et al., "MCLRec", SIGIR 2023 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> LearnedView(8)(example_batch()).query.shape
        torch.Size([4, 8])
    """

    formula = r"(z + 0.1\,\mathrm{MLP}(z)) / \lVert\cdot\rVert"
    use_when = "with `adaptive-margin`"
    source = "MCLRec [C], no meta steps"

    requires: frozenset[str] = frozenset()

    def __init__(self, dim: int, hidden: int = 32):
        super().__init__()

        def network():
            return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

        self.first, self.second = network(), network()

    def forward(self, pairs: ContrastBatch) -> ContrastBatch:
        if not self.training:
            return pairs

        def move(x, by):
            return l2_normalize(x + 0.1 * by(x))

        return replace(
            pairs,
            query=move(pairs.query, self.first),
            positive=move(pairs.positive, self.second),
            negatives=move(pairs.negatives, self.second),
        )
