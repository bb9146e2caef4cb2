"""Stays near the EMA model."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch, require
from mmcl.losses.contrastive.regularizers._shared import masked_mean
from mmcl.types import l2_normalize


class FeatureDistance:
    """Stays near the EMA model.

    Stay near a teacher's embeddings: ``sum_d (a - teacher)^2``, unit length.

    Reference:
        "DeGLA" [C], weight .005.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> FeatureDistance()(example_batch()).shape
        torch.Size([])
    """

    formula = r"\sum_d (a_d - t_d)^2"
    use_when = "forgetting"
    source = "DeGLA [C]"

    requires = frozenset({"teacher"})
    default_weight = 0.005

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        teacher = l2_normalize(require(pairs.metadata.teacher, "feature-distance", "metadata.teacher").detach())
        is_valid = torch.ones(len(teacher), device=teacher.device) if pairs.valid is None else pairs.valid
        squares = (pairs.query - teacher).square().sum(-1)
        return masked_mean(all_gather_with_grad(squares), all_gather_with_grad(is_valid.to(squares.dtype)))
