"""An objective component: a negative counts by how far the teacher's embeddings lie apart."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses import ContrastBatch
from mmcl.losses.contrastive.context import require
from mmcl.types import l2_normalize


class Agreement:
    """Negatives that the teacher takes for alike count less."""

    requires = frozenset({"teacher"})

    def __init__(self, power: float = 1.0):
        self.power = power

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        query = l2_normalize(require(pairs.metadata.teacher, "toy-agreement", "metadata.teacher"))
        negative = l2_normalize(require(pairs.negative_metadata.teacher, "toy-agreement", "negative_metadata.teacher"))
        apart = (1 - (query @ negative.T).clamp(min=0)) ** self.power
        return torch.log(apart.clamp(min=1e-6))
