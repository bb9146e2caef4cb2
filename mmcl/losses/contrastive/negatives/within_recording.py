"""Negatives are the other rows of the query's own recording alone (``metadata.index``)."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, require


class WithinRecording:
    """Negatives are the other rows of the query's own recording alone (``metadata.index``): the grounded ones.

    Source: the own-negatives loss of "DeGLA" [C], whose negatives are made from a caption; here a recording has them.
    """

    requires = frozenset({"index"})

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own, key = pairs.metadata.index, pairs.negative_metadata.index
        same = require(own, "within-recording", "metadata.index")[:, None] == require(
            key, "within-recording", "negative_metadata.index"
        )
        return torch.where(same, 0.0, -torch.inf)
