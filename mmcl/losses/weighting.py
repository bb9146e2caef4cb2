"""Weights of negatives, in log space: how much each negative counts in a row of the contrast."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def concentration(logit: Tensor, mask: Tensor, beta: float, detach: bool = False) -> Tensor:
    """Log of the concentration weights, ``w_j = exp(beta s_j) / mean_j exp(beta s_j)``.

    logit: ``(query, negative)`` similarities divided by the temperature. mask: the same shape or
    broadcastable, True = a negative of that row. Weights of a row average 1 over its negatives;
    beta 0 gives 1 everywhere (plain InfoNCE), large beta looks at the nearest negatives alone.
    detach: do not differentiate through the weights (the original code does differentiate).

    Source: Robinson et al., "Contrastive learning with hard negative samples", ICLR 2021, eq. 4;
    Choi et al. 2023 (arXiv 2309.01262).
    """
    if beta == 0:
        return torch.zeros_like(logit)
    s = beta * (logit.detach() if detach else logit)
    s = s.masked_fill(~mask, -math.inf)
    n = mask.expand_as(s).sum(-1, keepdim=True).clamp(min=1).to(logit.dtype)
    total = torch.where(mask.any(-1, keepdim=True), s, 0.0).logsumexp(-1, keepdim=True)
    return torch.where(mask, s - total + n.log(), 0.0)
