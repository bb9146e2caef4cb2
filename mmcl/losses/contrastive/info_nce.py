"""InfoNCE in log space, with weighted and debiased negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mmcl.losses.contrastive.weighting import log_count


def weighted_info_nce(
    positive: Tensor,
    negative: Tensor,
    mask: Tensor,
    log_weight: Tensor | None = None,
    *,
    temperature: float,
    tau_plus: float = 0.0,
    target: Tensor | None = None,
    log_n: Tensor | None = None,
) -> Tensor:
    """Loss of each anchor from its logits, all in log space.

    Args:
        positive: ``(query,)``, cosine / temperature.
        negative: ``(query, negative)``, cosine / temperature.
        mask: True where the negative belongs to the anchor, broadcastable to ``negative``.
        log_weight: ``(query, negative)``; -inf removes one.
        temperature: Of the logits.
        tau_plus: Class prior.
        target: ``(query, negative)``, 0 or more, adding up to at most 1: the share of the anchor's attraction that
            goes to these instead of its positive.
        log_n: ``(query,)``, log of the number of negatives, where weights say that some hardly count.

    Returns:
        ``(query,)``; 0 for an anchor without negatives.

    Reference:
        van den Oord et al. 2018; Chuang et al., NeurIPS 2020, eq. 8 (tau_plus).

    Example:
        >>> weighted_info_nce(torch.zeros(1), torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool), temperature=0.1)
        tensor([1.3863])
    """
    mask = mask.expand_as(negative)
    if log_weight is not None:
        mask = mask & (log_weight > -math.inf)
    log_sum, has_any = log_sum_negatives(negative, mask, log_weight)
    if tau_plus > 0:
        log_n = log_count(mask, None, positive.dtype) if log_n is None else log_n
        log_sum = _log_subtract(log_sum, positive + log_n + math.log(tau_plus)) - math.log1p(-tau_plus)
        log_sum = torch.maximum(log_sum, log_n - 1 / temperature)
    loss = softplus(log_sum - positive)
    if target is not None:
        to_others = (target * softplus(log_sum[:, None] - negative)).sum(-1)
        loss = (1 - target.sum(-1)) * loss + to_others
    return torch.where(has_any, loss, 0.0)


def log_sum_negatives(logit: Tensor, mask: Tensor, log_weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """``log sum_j w_j exp(s_ij)`` of each anchor.

    Args:
        logit: ``(query, negative)``.
        mask: ``(query, negative)`` bool.
        log_weight: ``(query, negative)`` or None.

    Returns:
        ``(query,)``, 0 for an anchor without negatives; and ``(query,)`` bool, which have some.
    """
    has_any = mask.any(-1)
    s = logit if log_weight is None else logit + torch.where(mask, log_weight, 0.0)
    # an anchor without negatives gets finite values: its loss is discarded, its gradient is 0
    s = torch.where(mask, s, -math.inf)
    return torch.where(has_any[:, None], s, 0.0).logsumexp(-1), has_any


def _log_subtract(a: Tensor, b: Tensor) -> Tensor:
    """``log(exp(a) - exp(b))``, -inf where b >= a, with finite gradients everywhere."""
    valid = b < a
    gap = torch.where(valid, b - a, -1.0)
    return torch.where(valid, a + torch.log(-torch.expm1(gap)), -math.inf)
