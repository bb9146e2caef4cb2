"""How much each row counts: callables (pairs, losses) -> ``(query,)`` weights, constants to the gradient.

Marks of the sources as in ``rows``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mmcl.losses.pairs import Pairs
from mmcl.losses.rows import needed
from mmcl.processes import gather


class BadPairs(nn.Module):
    """Pairs that were learned too easily (noise that anything fits) or never (their halves do not belong together) count less.

    m_i is the mean of recording i's losses so far, later ones weighing more; with their mean mu and spread sd over
    the recordings, one with ``m_i <= mu - 2 sd`` or ``m_i >= mu + 3 sd`` counts ``exp(-(m_i - mu)^2 / 2 sd^2)``, from
    the part ``warm_up`` of the run on. Needs about.index, below ``n_recordings``.
    Source: Lan et al., "Dynamic bad pair mining" (DBPM), ICLR 2024 [C]; with the density divided by its peak, and at m_i in place of
    the loss of the moment, for one history serves terms of different levels.
    """

    total: Tensor
    weight: Tensor

    def __init__(self, n_recordings: int, warm_up: float = 0.6, low: float = 2.0, high: float = 3.0):
        super().__init__()
        self.warm_up, self.low, self.high = warm_up, low, high
        self.register_buffer("total", torch.zeros(n_recordings))
        self.register_buffer("weight", torch.zeros(n_recordings))

    @torch.no_grad()
    def forward(self, pairs: Pairs, losses: Tensor) -> Tensor:
        index = needed(pairs.about.index, "bad-pairs", "about.index")
        counted = pairs.counts & (index >= 0)
        row = index.clamp(min=0)
        if self.training:
            seen = gather(torch.where(counted, pairs.progress + 1e-3, 0.0).to(self.total.dtype))
            number, lost = gather(row), gather(losses.detach().to(self.total.dtype))
            self.total.index_add_(0, number, seen * lost)
            self.weight.index_add_(0, number, seen)
        if pairs.progress < self.warm_up:
            return torch.ones_like(losses)
        known = self.weight > 0
        n = known.sum().clamp(min=1)
        mean = torch.where(known, self.total / self.weight.clamp(min=1e-12), 0.0)
        mu = mean.sum() / n
        sd = (torch.where(known, mean - mu, 0.0).square().sum() / n).sqrt().clamp(min=1e-6)
        own = mean[row]
        is_bad = counted & known[row] & ((own <= mu - self.low * sd) | (own >= mu + self.high * sd))
        density = (-(own - mu).square() / (2 * sd.square())).exp()
        return torch.where(is_bad, density.to(losses.dtype), 1.0)


class SimilaritySchedule:
    """Trust pairs by how near they are already, more and more: ``w = p + (1 - p) h(cos_ii)``, p from 1 to 0 over the run.

    h: "linear" max(0, x), "top" sqrt(1 - (x - 1)^2), "bell" exp(-(4 (x - .5))^2 / 2); w is divided by its mean over all rows.
    Source: Chen et al., "Adaptive supervised/similarity patch loss" (ASP) [C].
    """

    def __init__(self, shape: Literal["linear", "top", "bell"] = "linear"):
        self.shape = shape

    @torch.no_grad()
    def __call__(self, pairs: Pairs, losses: Tensor) -> Tensor:
        x = (pairs.query * pairs.positive).sum(-1).clamp(0, 1)
        h = {
            "linear": lambda: x,
            "top": lambda: (1 - (x - 1).square()).clamp(min=0).sqrt(),
            "bell": lambda: (-(4 * (x - 0.5)).square() / 2).exp(),
        }[self.shape]()
        w = 1 - pairs.progress + pairs.progress * h
        counted = pairs.counts
        mean = gather(torch.where(counted, w, 0.0)).sum() / gather(counted).sum().clamp(min=1)
        return w / mean.clamp(min=1e-6)
