"""How much each negative counts: callables pairs -> ``(query, key)`` log-weights, 0 = as it is, -inf = not at all.

They add up in the order given; each sees what those before it left (``pairs.mask``, ``pairs.log_weight``), so that
concentration, which comes last, looks for hard negatives among what is not known to be false.
Marks of the sources: [C] read in the authors' public code, [P] in the paper, [A] abstract alone, [M] from memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.types import l2_normalize

SUREST = 1 - 1e-6


def log_keep(share: Tensor) -> Tensor:
    """``log share``, -inf where it is 0."""
    return torch.where(share > 1 - SUREST, share.clamp(min=1 - SUREST).log(), -torch.inf)


def space_of(pairs: ContrastBatch) -> tuple[Tensor, Tensor]:
    """Embeddings of queries and negatives in the space that is clustered, unit length, no gradient.

    A query is represented by its positive, which is of the negatives' modality: embeddings before projection of
    different modalities have no cosine.

    Args:
        pairs: The auxiliary space is used where it is known, else the teacher's, else the embeddings themselves.

    Returns:
        ``(query, dim)`` and ``(negative, dim)``.
    """
    for name in ("auxiliary", "teacher"):
        own, negative = getattr(pairs.positive_metadata, name), getattr(pairs.negative_metadata, name)
        if own is not None and negative is not None:
            return l2_normalize(own.detach()), l2_normalize(negative.detach())
    return pairs.positive.detach(), pairs.negatives.detach()
