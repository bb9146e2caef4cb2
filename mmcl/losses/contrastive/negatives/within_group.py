"""Negatives of the same subject or site only."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, require
from mmcl.losses.contrastive.negatives._shared import log_keep


class WithinGroup:
    """Negatives of the same subject or site only.

    Negatives are of the query's own group only (``metadata.group``: a subject, a site), so that what tells them apart
    is what is done, never who does it, and embeddings need not say who.

    An anchor that would have none keeps all of its negatives.

    Args:
        others: How much negatives of other groups count, 0 = not at all.

    Reference:
        subject-aware contrast, Cheng et al. 2020 (arXiv 2007.04871) [A], for two modalities here.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> WithinGroup()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = [g_i = g_j]"
    use_when = "several people, no labels: the default of pre-training"
    source = "Cheng 2020 [A]"

    requires = frozenset({"groups"})

    def __init__(self, others: float = 0.0):
        self.others = others

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own, negative = pairs.metadata.group, pairs.negative_metadata.group
        same = require(own, "within-group", "metadata.group")[:, None] == require(
            negative, "within-group", "negative_metadata.group"
        )
        alone = ~(same & pairs.mask).any(-1, keepdim=True)
        return log_keep(torch.where(same | alone, 1.0, self.others))
