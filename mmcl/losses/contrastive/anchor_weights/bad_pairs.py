"""Pairs with odd histories of loss count less."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch, require


class BadPairs(nn.Module):
    """Pairs with odd histories of loss count less.

    Pairs that were learned too easily (noise that anything fits) or never (their halves do not belong together) count
    less.

    m_i is the mean of recording i's losses so far, later ones weighing more; with their mean mu and spread sd over
    the recordings, one with ``m_i <= mu - 2 sd`` or ``m_i >= mu + 3 sd`` counts ``exp(-(m_i - mu)^2 / 2 sd^2)``, from
    the part ``warm_up`` of the run on. Needs metadata.index, below ``n_recordings``.

    Args:
        n_recordings: Of the training split, whose losses are remembered.
        warm_up: Share of the training before it begins.
        low: Standard deviations below the mean.
        high: Standard deviations above the mean.

    Reference:
        Lan et al., "Dynamic bad pair mining" (DBPM), ICLR 2024 [C]; with the density divided by its peak, and at m_i
        in place of the loss of the moment, for one history serves terms of different levels.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> BadPairs(10)(example_batch(), torch.ones(4)).shape
        torch.Size([4])
    """

    formula = r"w_i = e^{-(m_i - \mu)^2 / 2 \sigma^2}"
    use_when = "modalities that sometimes do not match"
    source = "DBPM [C]"

    requires = frozenset({"index"})
    capturable = False  # reads the progress

    total: Tensor
    weight: Tensor

    def __init__(self, n_recordings: int, warm_up: float = 0.6, low: float = 2.0, high: float = 3.0):
        super().__init__()
        self.warm_up, self.low, self.high = warm_up, low, high
        self.register_buffer("total", torch.zeros(n_recordings))
        self.register_buffer("weight", torch.zeros(n_recordings))

    @torch.no_grad()
    def forward(self, pairs: ContrastBatch, losses: Tensor) -> Tensor:
        index = require(pairs.metadata.index, "bad-pairs", "metadata.index")
        contributes = pairs.has_negatives & (index >= 0)
        anchor = index.clamp(min=0)
        if self.training:
            recency = all_gather_with_grad(torch.where(contributes, pairs.progress + 1e-3, 0.0).to(self.total.dtype))
            number, lost = (
                all_gather_with_grad(anchor),
                all_gather_with_grad(losses.detach().to(self.total.dtype)),
            )
            self.total.index_add_(0, number, recency * lost)
            self.weight.index_add_(0, number, recency)
        if pairs.progress < self.warm_up:
            return torch.ones_like(losses)
        known = self.weight > 0
        n = known.sum().clamp(min=1)
        mean = torch.where(known, self.total / self.weight.clamp(min=1e-12), 0.0)
        mu = mean.sum() / n
        sd = (torch.where(known, mean - mu, 0.0).square().sum() / n).sqrt().clamp(min=1e-6)
        own = mean[anchor]
        is_bad = contributes & known[anchor] & ((own <= mu - self.low * sd) | (own >= mu + self.high * sd))
        density = (-(own - mu).square() / (2 * sd.square())).exp()
        return torch.where(is_bad, density.to(losses.dtype), 1.0)
