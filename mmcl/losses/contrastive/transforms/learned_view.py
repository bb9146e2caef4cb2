"""Augmentation learned in embedding space."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.types import l2_normalize


class LearnedView(nn.Module):
    """Augmentation learned in embedding space: each side moves by a small network of its own, ``unit(z + MLP(z))``.

    Its weights learn with the rest; the source's alternating meta steps are left out. Use it with the adaptive
    margin, which keeps views from collapsing. Source: Qin et al., "MCLRec", SIGIR 2023 [C].
    """

    requires: frozenset[str] = frozenset()

    def __init__(self, dim: int, hidden: int = 32):
        super().__init__()
        made = lambda: nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.first, self.second = made(), made()

    def forward(self, pairs: ContrastBatch) -> ContrastBatch:
        if not self.training:
            return pairs
        move = lambda x, by: l2_normalize(x + 0.1 * by(x))
        return replace(
            pairs,
            query=move(pairs.query, self.first),
            positive=move(pairs.positive, self.second),
            negatives=move(pairs.negatives, self.second),
        )
