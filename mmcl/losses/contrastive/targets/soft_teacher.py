"""Attraction as a teacher sees it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, require
from mmcl.types import l2_normalize


class SoftTeacher:
    """Attraction as a teacher sees it.

    Negatives attract by what a teacher thinks of them: ``share softmax_j(cos of its embeddings / t)`` over positive
    and negatives.

    Args:
        share: Of the attraction that negatives may have.
        t: Temperature of the teacher's cosines.

    Reference:
        the soft labels of "LG-ANNA" [A] and the distillation of "AR2" [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> SoftTeacher()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"t_{ij} = \alpha\,\mathrm{softmax}_j(\cos(t_i, t_j) / \tau)"
    use_when = "with the EMA model"
    source = "LG-ANNA [A], AR2 [C]"

    requires = frozenset({"teacher"})

    def __init__(self, share: float = 0.5, t: float = 0.05):
        self.share, self.t = share, t

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        own = l2_normalize(require(pairs.metadata.teacher, "soft-teacher", "metadata.teacher").detach())
        negative = l2_normalize(
            require(pairs.negative_metadata.teacher, "soft-teacher", "negative_metadata.teacher").detach()
        )
        cosine = torch.where(pairs.mask, own @ negative.T / self.t, -torch.inf)
        positive = l2_normalize(
            require(pairs.positive_metadata.teacher, "soft-teacher", "positive_metadata.teacher").detach()
        )
        with_itself = (own * positive).sum(-1, keepdim=True) / self.t
        return self.share * torch.cat([cosine, with_itself], 1).softmax(1)[:, :-1]
