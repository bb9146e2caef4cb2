"""The positive is a learned mix of its neighbours."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.negatives._shared import space_of
from mmcl.types import l2_normalize


class NeighbourPositive(nn.Module):
    """The positive is a learned mix of its neighbours.

    The positive becomes a learned mixture of the negatives nearest to it in another space, itself among them.

    ``sum_r g_r z_r``, ``g = dropout(softmax_r(leaky_relu(v . [W e_i; W e_r])))`` over the ``n`` nearest of the
    auxiliary space (the teacher's; the positive's own, where there is none).

    Args:
        dim: Size of the embeddings.
        n: Neighbours.
        hidden: Size of the attention's space.
        dropout: Of the shares.

    Reference:
        Cui et al., "SRA-CL" [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> NeighbourPositive(8)(example_batch()).query.shape
        torch.Size([4, 8])
    """

    formula = r"\sum_r g_r z_r / \lVert\cdot\rVert"
    use_when = "few views"
    source = "SRA-CL [C]"

    requires: frozenset[str] = frozenset()
    optional = frozenset({"auxiliary", "teacher"})

    def __init__(self, dim: int, n: int = 4, hidden: int = 32, dropout: float = 0.5):
        super().__init__()
        self.n, self.dropout = n, dropout
        self.map, self.ask = nn.Linear(dim, hidden), nn.Linear(2 * hidden, 1)

    def forward(self, pairs: ContrastBatch) -> ContrastBatch:
        if not self.training:
            return pairs
        with torch.no_grad():
            own, candidates = space_of(pairs)
            near = (own @ candidates.T).topk(min(self.n, len(candidates)), dim=1).indices
        candidates = torch.cat([pairs.positive[:, None], pairs.negatives[near]], 1)  # anchor, one of n + 1, dim
        e = self.map(candidates.detach())
        pairs_of = torch.cat([e[:, :1].expand_as(e), e], -1)
        share = nn.functional.leaky_relu(self.ask(pairs_of)[..., 0]).softmax(1)
        share = nn.functional.dropout(share, self.dropout)
        share = torch.where(share.sum(1, keepdim=True) > 0, share, torch.full_like(share, 1 / share.shape[1]))
        return replace(pairs, positive=l2_normalize((share[..., None] * candidates).sum(1)))
