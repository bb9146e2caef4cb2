"""The one contrastive formula: attract a positive, repel negatives weighted by concentration.

With unit vectors, s = cosine / temperature, N negatives j of query i::

    w_ij   = exp(beta s_ij) / mean_j exp(beta s_ij)                      concentration weights
    Ng_i   = max((sum_j w_ij exp(s_ij) - N tau exp(s_ii)) / (1 - tau),   debiased by the class prior
                 N exp(-1 / temperature))
    loss_i = -log(exp(s_ii) / (exp(s_ii) + Ng_i))

beta = tau = 0 is InfoNCE. Sources: van den Oord et al. 2018 (InfoNCE); Chuang et al., NeurIPS 2020
(tau); Robinson et al., ICLR 2021 (beta); Choi et al. 2023 (both, across modalities).
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmcl.errors import InputError
from mmcl.losses.weighting import concentration, log_count
from mmcl.precision import at_least_float32

# Pairs of query and negative at once. Smaller blocks are twice as fast on a CPU, whose caches they fit, but
# its allocator then keeps their memory: two gigabytes instead of a half for 1,024 x 65,536.
WHOLE = 1 << 23


def weighted_info_nce(
    positive: Tensor,
    negative: Tensor,
    mask: Tensor,
    log_weight: Tensor | None = None,
    *,
    temperature: float,
    tau: float = 0.0,
    target: Tensor | None = None,
    log_n: Tensor | None = None,
) -> Tensor:
    """Loss of each row from its logits, all in log space.

    positive: ``(query,)``, negative: ``(query, negative)``, both cosine / temperature. mask: True
    where the negative belongs to the row, broadcastable to ``negative``. log_weight: as
    ``negative``, -inf removes one. target: as ``negative``, >= 0, rows adding up to at most 1: the share
    of the row's attraction that goes to these in place of its positive. log_n: ``(query,)``, log of how many
    negatives there are, where weights say that some hardly count. Returns ``(query,)``; 0 for a row
    without negatives.
    """
    mask = mask.expand_as(negative)
    if log_weight is not None:
        mask = mask & (log_weight > -math.inf)
    some = mask.any(-1)
    s = negative if log_weight is None else negative + torch.where(mask, log_weight, 0.0)
    # a row without negatives gets finite stand-ins: its loss is discarded, its gradient is 0
    s = torch.where(mask, s, -math.inf)
    log_sum = torch.where(some[:, None], s, 0.0).logsumexp(-1)
    if tau > 0:
        log_n = log_count(mask, None, positive.dtype) if log_n is None else log_n
        log_sum = _log_subtract(log_sum, positive + log_n + math.log(tau)) - math.log1p(-tau)
        log_sum = torch.maximum(log_sum, log_n - 1 / temperature)
    loss = nn.functional.softplus(log_sum - positive)
    if target is not None:
        to_others = (target * nn.functional.softplus(log_sum[:, None] - negative)).sum(-1)
        loss = (1 - target.sum(-1)) * loss + to_others
    return torch.where(some, loss, 0.0)


def _log_subtract(a: Tensor, b: Tensor) -> Tensor:
    """``log(exp(a) - exp(b))``, -inf where b >= a, with finite gradients everywhere."""
    valid = b < a
    gap = torch.where(valid, b - a, -1.0)
    return torch.where(valid, a + torch.log(-torch.expm1(gap)), -math.inf)


def contrast(
    query: Tensor,
    positive: Tensor,
    negative: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.1,
    beta: float = 0.0,
    tau: float = 0.0,
    detach_weights: bool = False,
    log_weight: Tensor | None = None,
    target: Tensor | None = None,
    block_elements: int | None = None,
) -> Tensor:
    """Loss of each query against its own positive and a shared set of negatives.

    query, positive: ``(query, dim)``; negative: ``(negative, dim)``, none needs unit length. mask:
    ``(negative,)`` or ``(query, negative)`` bool, True = a real negative (of that query). log_weight:
    ``(query, negative)``, how much each negative counts besides its concentration, 0 = as it is, -inf =
    not at all. target: ``(query, negative)``, see ``weighted_info_nce``.
    temperature: > 0. beta: concentration, >= 0. tau: class prior, probability in [0, 1) that a
    negative is a positive in truth. Returns ``(query,)``. Computed in float32 at least, also under
    autocast, for half precision overflows at low temperatures. Above ``WHOLE`` pairs (or
    ``block_elements``) the queries are worked off in blocks that are computed again for the gradient, so
    that memory grows with the negatives, not with the pairs.
    """
    if temperature <= 0 or beta < 0 or not 0 <= tau < 1:
        raise InputError(
            f"contrast: expected temperature > 0, beta >= 0, 0 <= tau < 1, got {temperature}, {beta}, {tau}"
        )
    if mask is None:
        mask = torch.ones(len(negative), dtype=torch.bool, device=negative.device)
    rows = partial(_rows, temperature=temperature, beta=beta, tau=tau, detach_weights=detach_weights)
    with torch.autocast(query.device.type, enabled=False):
        q, p, n = (unit(x) for x in (query, positive, negative))
        mask = mask.expand(len(q), len(n))
        if len(q) * len(n) <= (block_elements or WHOLE):
            return rows(q, p, n, mask, log_weight, target)
        size = max((block_elements or WHOLE) // len(n), 1)
        cut = lambda x: [None] * -(-len(q) // size) if x is None else x.split(size)
        blocks = zip(q.split(size), p.split(size), *map(cut, (mask, log_weight, target)), strict=True)
        once = partial(checkpoint, rows, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([once(a, b, n, *rest) for a, b, *rest in blocks])


def _rows(
    q: Tensor,
    p: Tensor,
    n: Tensor,
    mask: Tensor,
    log_weight: Tensor | None,
    target: Tensor | None,
    *,
    temperature: float,
    beta: float,
    tau: float,
    detach_weights: bool,
) -> Tensor:
    s_positive = (q * p).sum(-1) / temperature
    s_negative = q @ n.T / temperature
    if log_weight is not None:
        mask = mask & (log_weight > -math.inf)  # removed before concentration looks for the hard ones
    log_n = log_count(mask, log_weight, s_positive.dtype)
    if beta:
        weight = concentration(s_negative, mask, beta, detach_weights, log_weight)
        log_weight = weight if log_weight is None else weight + log_weight
    return weighted_info_nce(
        s_positive, s_negative, mask, log_weight, temperature=temperature, tau=tau, target=target, log_n=log_n
    )


def unit(x: Tensor) -> Tensor:
    """Unit length over the last axis, in float32 or better; a zero vector stays zero."""
    return nn.functional.normalize(at_least_float32(x), dim=-1)
