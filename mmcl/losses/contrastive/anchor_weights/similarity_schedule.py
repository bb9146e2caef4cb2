"""Near pairs are trusted more and more."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch


class SimilaritySchedule:
    """Near pairs are trusted more and more.

    Trust pairs by how near they are already, more and more: ``w = p + (1 - p) h(cos_ii)``, p from 1 to 0 over the
    run.

    w is divided by its mean over all anchors.

    Args:
        shape: h: "linear" ``max(0, x)``, "top" ``sqrt(1 - (x - 1)^2)``, "bell" ``exp(-(4 (x - 0.5))^2 / 2)``.

    Reference:
        Chen et al., "Adaptive supervised/similarity patch loss" (ASP) [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> SimilaritySchedule()(example_batch(), torch.ones(4)).shape
        torch.Size([4])
    """

    formula = r"w_i = p + (1 - p)\, h(\cos_{ii})"
    use_when = "noisy pairs"
    source = "ASP [C]"

    requires: frozenset[str] = frozenset()
    capturable = False  # reads the progress

    def __init__(self, shape: Literal["linear", "top", "bell"] = "linear"):
        self.shape = shape

    @torch.no_grad()
    def __call__(self, pairs: ContrastBatch, losses: Tensor) -> Tensor:
        x = (pairs.query * pairs.positive).sum(-1).clamp(0, 1)
        h = {
            "linear": lambda: x,
            "top": lambda: (1 - (x - 1).square()).clamp(min=0).sqrt(),
            "bell": lambda: (-(4 * (x - 0.5)).square() / 2).exp(),
        }[self.shape]()
        w = 1 - pairs.progress + pairs.progress * h
        contributes = pairs.has_negatives
        mean = all_gather_with_grad(torch.where(contributes, w, 0.0)).sum() / all_gather_with_grad(
            contributes
        ).sum().clamp(min=1)
        return w / mean.clamp(min=1e-6)
