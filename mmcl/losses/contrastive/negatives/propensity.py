"""Undoes that look-alikes are drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, require
from mmcl.types import l2_normalize


class Propensity:
    """Undoes that look-alikes are drawn.

    Pairs that look alike are drawn too often: weights ``(1 + cos semantic) / (1 + cos surface)``, an anchor's mean 1.

    Semantic: the embeddings' cosine, surface: that of the auxiliary space (raw features), of the query's positive and
    negative. Stands for sampling by these probabilities, whose expectation it is.

    Reference:
        Miao et al., "DebCSE" [A; form ours].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Propensity()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = \frac{1 + \cos_{ij}}{1 + \cos(x_i, x_j)} / \overline{w}"
    use_when = "raw features say little of the class"
    source = "DebCSE [A], ours"

    requires = frozenset({"auxiliary"})

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own = l2_normalize(require(pairs.positive_metadata.auxiliary, "propensity", "positive_metadata.auxiliary"))
        negative = l2_normalize(require(pairs.negative_metadata.auxiliary, "propensity", "negative_metadata.auxiliary"))
        with torch.no_grad():
            semantic, surface = pairs.query @ pairs.negatives.T, own @ negative.T
            ratio = torch.where(pairs.mask, (1.05 + semantic) / (1.05 + surface), 0.0)
            n = pairs.mask.sum(-1, keepdim=True).clamp(min=1)
            mean = ratio.sum(-1, keepdim=True) / n
            return torch.where(pairs.mask, (ratio / mean.clamp(min=1e-6)).clamp(min=1e-6).log(), 0.0)
