"""A predictor set from eigenvalues."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import masked_mean, valid_pairs
from mmcl.types import l2_normalize


class DirectPredictor(nn.Module):
    """A predictor set from eigenvalues.

    A linear predictor that is set, not learned: from the eigenvalues of a moving average of the queries' correlation.

    ``F <- rho F + (1 - rho) E[a a']``, ``W = U diag(sqrt(max(0, d) / d_max) + eps) U'``; loss ``-2 cos(W a, b)``, b
    constant.

    Args:
        dim: Size of the embeddings.
        rho: Decay of the correlation.
        eps: Is added to the eigenvalues.

    Reference:
        Tian et al., "Understanding self-supervised learning dynamics without contrastive pairs" (DirectPred), ICML
        2021 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> DirectPredictor(8)(example_batch()).shape
        torch.Size([])
    """

    formula = r"-2 \cos(W a, b),\; W = U (\sqrt{d / d_{\max}} + \epsilon) U^\top"
    use_when = "no negatives wanted"
    source = "DirectPred [C]"

    requires: frozenset[str] = frozenset()
    capturable = False  # an eigendecomposition waits for the GPU
    default_weight = 0.1

    correlation: Tensor

    def __init__(self, dim: int, rho: float = 0.3, eps: float = 0.01):
        super().__init__()
        self.rho, self.eps = rho, eps
        self.register_buffer("correlation", torch.zeros(dim, dim))

    def forward(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        with torch.no_grad():
            if self.training:
                now = (a * is_valid[:, None]).T @ a / is_valid.sum().clamp(min=1)
                self.correlation.mul_(self.rho).add_((1 - self.rho) * now.to(self.correlation.dtype))
            value, vector = torch.linalg.eigh(self.correlation)
            scale = (value.clamp(min=0) / value.max().clamp(min=1e-12)).sqrt() + self.eps
            w = ((vector * scale.clamp(min=1e-4)) @ vector.T).to(a.dtype)
        return masked_mean(-2 * (l2_normalize(a @ w) * b.detach()).sum(-1), is_valid)
