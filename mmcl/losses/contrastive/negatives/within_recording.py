"""Negatives of the same recording only."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, require


class WithinRecording:
    """Negatives of the same recording only.

    Negatives are the other anchors of the query's own recording only (``metadata.index``): the grounded ones.

    Reference:
        the own-negatives loss of "DeGLA" [C], whose negatives are made from a caption; here a recording has them.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> WithinRecording()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = [r_i = r_j]"
    use_when = "grounded negatives, long recordings"
    source = "DeGLA [C], ours"

    requires = frozenset({"index"})

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own, negative = pairs.metadata.index, pairs.negative_metadata.index
        same = require(own, "within-recording", "metadata.index")[:, None] == require(
            negative, "within-recording", "negative_metadata.index"
        )
        return torch.where(same, 0.0, -torch.inf)
