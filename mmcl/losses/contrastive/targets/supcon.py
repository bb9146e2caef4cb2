"""Same labels attract."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, label_overlap, require


class SupCon:
    """Same labels attract.

    All negatives with the query's label attract as much as its own positive: each ``1 / (1 + n_i)``.

    Reference:
        Khosla et al., "Supervised contrastive learning", NeurIPS 2020 [C], its outer form.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> SupCon()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"t_{ij} = \frac{[y_i = y_j]}{1 + n_i}"
    use_when = "labels are there"
    source = "SupCon [C]"

    requires = frozenset({"labels"})

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        y, y_negative = pairs.metadata.label, pairs.negative_metadata.label
        same = label_overlap(
            require(y, "supcon", "metadata.label"), require(y_negative, "supcon", "negative_metadata.label")
        )
        same = torch.where(pairs.mask, (same == 1).float(), 0.0)
        return same / (1 + same.sum(-1, keepdim=True))
