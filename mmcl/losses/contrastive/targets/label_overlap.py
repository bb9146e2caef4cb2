"""Overlapping label sets attract."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, label_overlap, require


class LabelOverlap:
    """Overlapping label sets attract.

    Negatives attract by how far their labels overlap: ``f_ij / (1 + sum_j f_ij)``, f the Jaccard index.

    Reference:
        "SPACE-2" [C targets; loss M]; the levels of its trees are one here.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> LabelOverlap()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"t_{ij} = \frac{J(y_i, y_j)}{1 + \sum_k J(y_i, y_k)}"
    use_when = "several labels a recording"
    source = "SPACE-2 [C, M]"

    requires = frozenset({"labels"})

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        y, y_negative = pairs.metadata.label, pairs.negative_metadata.label
        f = label_overlap(
            require(y, "label-overlap", "metadata.label"),
            require(y_negative, "label-overlap", "negative_metadata.label"),
        )
        f = torch.where(pairs.mask, f, 0.0)
        return f / (1 + f.sum(-1, keepdim=True))
