"""Weighs both sides by distance."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch


class CACR:
    """Weighs both sides by distance.

    Far positives attract most, near negatives repel most, by conditional distributions over each.

    ``sum_v softmax_v(t+ c_v) alpha c_v - beta sum_j softmax_j(-t- d_j + g_j) d_j`` with squared distances c to an
    anchor's positives (its own, and negatives that a target names) and d to its negatives. tau_plus > 0 debiases the
    latter by the class prior: ``(E_j d - tau_plus c) / (1 - tau_plus)``.

    Args:
        alpha: Weight of the attraction.
        beta: Weight of the repulsion.
        t_positive: Temperature t+ of the positives.
        t_negative: Temperature t- of the negatives.

    Reference:
        Zheng et al., "Contrastive attraction and contrastive repulsion" (CACR), TMLR 2023 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> CACR()(example_batch()).shape
        torch.Size([4])
    """

    formula = r"\sum_v \mathrm{softmax}_v(t^+ c_v)\, \alpha c_v - \beta \sum_j \mathrm{softmax}_j(-t^- d_j)\, d_j"
    use_when = "imbalanced data"
    source = "CACR [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, alpha: float = 1.0, beta: float = 1.0, t_positive: float = 1.0, t_negative: float = 1.0):
        self.alpha, self.beta, self.t_positive, self.t_negative = alpha, beta, t_positive, t_negative

    def __call__(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        c = 2 - 2 * (pairs.query * pairs.positive).sum(-1, keepdim=True)
        d = 2 - 2 * pairs.query @ pairs.negatives.T
        if target is not None:
            others = torch.where(target > 0, d, 0.0)
            c_all = torch.cat([c, others], 1)
            meant = torch.cat([torch.ones_like(c, dtype=torch.bool), target > 0], 1)
            pull = torch.where(meant, self.t_positive * c_all, -torch.inf).softmax(-1)
            attraction = (pull * c_all).sum(-1)
        else:
            attraction = c[:, 0]
        weight = -self.t_negative * d + (
            0.0 if pairs.log_weight is None else torch.where(pairs.mask, pairs.log_weight, 0.0)
        )
        has_any = pairs.mask.any(-1)
        push = torch.where(has_any[:, None], torch.where(pairs.mask, weight, -torch.inf), 0.0).softmax(-1)
        repelled = ((push * d).sum(-1) - tau_plus * c[:, 0]) / (1 - tau_plus)
        return torch.where(has_any, self.alpha * attraction - self.beta * repelled, 0.0)
