"""Weights of negatives, in log space: how much each negative counts in an anchor of the contrast."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def concentration(
    logit: Tensor, mask: Tensor, beta: float, detach: bool = False, log_weight: Tensor | None = None
) -> Tensor:
    """Log of the concentration weights, ``w_j = exp(beta s_j) / mean_j exp(beta s_j)``.

    logit: ``(query, negative)`` similarities divided by the temperature. mask: the same shape or
    broadcastable, True = a negative of that anchor. Weights of an anchor average 1 over its negatives;
    beta 0 gives 1 everywhere (plain InfoNCE), large beta looks at the nearest negatives alone.
    detach: do not differentiate through the weights (the original code does differentiate). log_weight: as
    logit, how much each negative counts at all: the mean above is then weighted by it, so that what hardly
    counts takes no concentration from the others; it is not part of what is returned.

    Source: Robinson et al., "Contrastive learning with hard negative samples", ICLR 2021, eq. 4;
    Choi et al. 2023 (arXiv 2309.01262).
    """
    if beta == 0:
        return torch.zeros_like(logit)
    s = beta * (logit.detach() if detach else logit)
    s = s.masked_fill(~mask, -math.inf)
    log_n = log_count(mask.expand_as(s), log_weight, logit.dtype)[..., None]
    if log_weight is not None:
        s = s + torch.where(mask, log_weight, 0.0)
    total = torch.where(mask.any(-1, keepdim=True), s, 0.0).logsumexp(-1, keepdim=True)
    s = s if log_weight is None else s - torch.where(mask, log_weight, 0.0)
    return torch.where(mask, s - total + log_n, 0.0)


def log_count(mask: Tensor, log_weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Log of how many negatives an anchor has, ``(query,)``; by their weights, where they have some. 0 for none."""
    if log_weight is None:
        return mask.sum(-1).clamp(min=1).to(dtype).log()
    has_any = mask.any(-1)
    contributes = torch.where(mask, log_weight.to(dtype), -math.inf)
    return torch.where(has_any, torch.where(has_any[..., None], contributes, 0.0).logsumexp(-1), 0.0)
