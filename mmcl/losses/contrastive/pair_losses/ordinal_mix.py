"""Mixtures by score as pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, require
from mmcl.losses.contrastive.info_nce import weighted_info_nce
from mmcl.types import l2_normalize


class OrdinalMix:
    """Mixtures by score as pairs.

    Mixtures by an ordinal label (``metadata.value``: a score, a length) as harder negatives and denser positives.

    Negatives: besides each negative j of another value than the query's, ``l a_i + (1 - l) k_j``. Positives: where
    the query's value lies between two negatives' values, the mixture of these two whose value is the query's; the
    anchor's loss is the mean of that against this positive and against its own.

    Args:
        share: Of the query in a mixed negative (l).

    Reference:
        Wu et al., "SupReMix" [A; coefficients M].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> OrdinalMix()(example_batch()).shape
        torch.Size([4])
    """

    formula = r"z_\lambda = \lambda a + (1 - \lambda) z_j"
    use_when = "a score orders recordings"
    source = "SupReMix [A, M]"

    requires = frozenset({"scores"})

    def __init__(self, share: float = 0.3):
        self.share = share

    def __call__(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        y, y_negative = require(pairs.metadata.value, "ordinal-mix", "metadata.value"), require(
            pairs.negative_metadata.value, "ordinal-mix", "negative_metadata.value"
        )  # fmt: skip
        share, cosine = self.share, pairs.query @ pairs.negatives.T
        norm = (share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * cosine).clamp(min=1e-6).sqrt()
        mixed = (share + (1 - share) * cosine) / norm / pairs.temperature
        other = pairs.mask & (y_negative[None, :] != y[:, None])
        logit, mask = torch.cat([pairs.logit, mixed], 1), torch.cat([pairs.mask, other], 1)
        weight = pairs.log_weight if pairs.log_weight is None else pairs.log_weight.repeat(1, 2)

        def anchor_loss(positive):
            return weighted_info_nce(positive, logit, mask, weight, temperature=pairs.temperature, tau_plus=tau_plus)

        gap = y_negative[None, :] - y[:, None]
        below = torch.where(pairs.mask & (gap < 0), gap, -torch.inf)
        above = torch.where(pairs.mask & (gap > 0), gap, torch.inf)
        low, high = below.max(1), above.min(1)
        between = low.values.isfinite() & high.values.isfinite()
        lower, upper = torch.where(between, -low.values, 1.0), torch.where(between, high.values, 1.0)
        share_low = (upper / (lower + upper))[:, None]  # of the lower one, so that the mixture has the query's value
        mixture = l2_normalize(
            share_low * pairs.negatives[low.indices] + (1 - share_low) * pairs.negatives[high.indices]
        )
        second = anchor_loss((pairs.query * mixture).sum(-1) / pairs.temperature)
        first = anchor_loss(pairs.positive_logit)
        return torch.where(between, (first + second) / 2, first)
