"""Weights of negatives, in log space: how much each negative counts in an anchor of the contrast."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def concentration(
    logit: Tensor, mask: Tensor, beta: float, detach: bool = False, log_weight: Tensor | None = None
) -> Tensor:
    """Log of the concentration weights, ``w_j = exp(beta s_j) / mean_j exp(beta s_j)``.

    Args:
        logit: ``(query, negative)``, similarities divided by the temperature.
        mask: ``(query, negative)`` bool, True = a negative of that anchor.
        beta: 0 gives 1 everywhere (InfoNCE), a large one weighs the nearest negatives only.
        detach: Do not differentiate through the weights (the original code does differentiate).
        log_weight: How much each negative counts at all: the mean is weighted by it, so that what hardly counts takes
            no concentration from the others; it is not contained in the result.

    Returns:
        ``(query, negative)``; weights of an anchor average 1 over its negatives.

    Reference:
        Robinson et al., ICLR 2021, eq. 4; Choi et al. 2023 (arXiv 2309.01262).

    Example:
        >>> concentration(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), 1.0)
        tensor([[0., 0.]])
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
    """Log of how many negatives an anchor has, by their weights where they have some.

    Args:
        mask: ``(query, negative)`` bool.
        log_weight: ``(query, negative)`` or None.
        dtype: Of the result.

    Returns:
        ``(query,)``; 0 for none.
    """
    if log_weight is None:
        return mask.sum(-1).clamp(min=1).to(dtype).log()
    has_any = mask.any(-1)
    contributes = torch.where(mask, log_weight.to(dtype), -math.inf)
    return torch.where(has_any, torch.where(has_any[..., None], contributes, 0.0).logsumexp(-1), 0.0)
