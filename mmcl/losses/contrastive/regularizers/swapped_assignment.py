"""Balanced soft assignments."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import masked_mean, valid_pairs


class SwappedAssignment:
    """Balanced soft assignments.

    Each side predicts the balanced assignment that Sinkhorn makes of the other's similarities.

    Targets: the logits ``b . a^T / eps`` balanced by ``n_rounds`` of anchors and columns; loss: their cross-entropy
    with ``a . b^T / temperature``, both ways.

    Args:
        eps: Temperature of the targets.
        n_rounds: Rounds of Sinkhorn.
        temperature: Divides the logits.

    Reference:
        SwALIP of Fini et al. [C], with pairs as prototypes.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> SwappedAssignment()(example_batch()).shape
        torch.Size([])
    """

    formula = r"\mathrm{CE}(\mathrm{Sinkhorn}(b a^\top / \epsilon),\; a b^\top / \tau)"
    use_when = "soft targets"
    source = "clip-rocket [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.2

    def __init__(self, eps: float = 0.05, n_rounds: int = 3, temperature: float = 0.1):
        self.eps, self.n_rounds, self.temperature = eps, n_rounds, temperature

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        is_pair = is_valid[:, None] * is_valid[None, :] > 0
        cosine = torch.where(is_pair, a @ b.T, -torch.inf)

        def loss(s: Tensor) -> Tensor:
            target = self.balanced(s.T.detach(), is_valid)
            log_p = torch.where(is_valid[:, None] > 0, s / self.temperature, 0.0).log_softmax(1)
            return masked_mean(-(target * torch.where(is_pair, log_p, 0.0)).sum(1), is_valid)

        return (loss(cosine) + loss(cosine.T)) / 2

    @torch.no_grad()
    def balanced(self, s: Tensor, is_valid: Tensor) -> Tensor:
        """Anchors and columns of ``exp(s / eps)`` made to add up to 1, ``(anchor, column)``."""
        q = torch.where(is_valid[:, None] * is_valid[None, :] > 0, s / self.eps, -1e9)
        is_pair = is_valid[:, None] * is_valid[None, :] > 0
        for _ in range(self.n_rounds):
            for side in (0, 1):
                q = torch.where(is_pair, q - q.logsumexp(side, keepdim=True), -1e9)
        return q.exp() * is_pair
