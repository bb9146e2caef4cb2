"""Counts by 1 - probability of being the same."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, require
from mmcl.losses.contrastive.negatives._shared import log_keep
from mmcl.types import l2_normalize


class Confidence:
    """Counts by 1 - probability of being the same.

    A negative counts by how sure it is that it is one: ``1 - p(i, j)``, p the probability that both show the same.

    p from a teacher, ``max(0, cos of its embeddings)^power``, or where there is none, from ``metadata.value``, a
    score in [0, 1] of what both would show: ``v_i v_j``.

    Args:
        power: Of the teacher's cosine; the higher, the fewer pairs are taken for the same.

    Reference:
        the relevance model of "CET" [A]; this analogue is ours.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Confidence()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = 1 - \max(0, \cos(t_i, t_j))^p"
    use_when = "a teacher or scores are there"
    source = "CET [A], ours"

    requires: frozenset[str] = frozenset()
    optional = frozenset({"scores", "teacher"})

    def __init__(self, power: float = 4.0):
        self.power = power

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b = pairs.metadata, pairs.negative_metadata
        with torch.no_grad():
            if a.teacher is not None and b.teacher is not None:
                p = (l2_normalize(a.teacher) @ l2_normalize(b.teacher).T).clamp(0, 1) ** self.power
            else:
                y = require(a.value, "confidence", "metadata.teacher or metadata.value")
                p = y[:, None] * require(b.value, "confidence", "negative_metadata.value")[None, :]
        return log_keep(1 - p.clamp(0, 1))
