"""Negatives between negatives."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.transforms._draw import draw_beta


class MixNegatives:
    """Negatives between negatives.

    Negatives between negatives: ``n' = u n + (1 - u) n[permutation]``, u ~ Beta(alpha, alpha), beside the negatives.

    A mixture is a negative of an anchor of which both its parts are.

    Args:
        alpha: Of the Beta distribution.

    Reference:
        as ``Extrapolate`` (alpha 1.6) [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> MixNegatives()(example_batch()).query.shape
        torch.Size([4, 8])
    """

    formula = r"u\,n_j + (1 - u)\,n_{\pi(j)}"
    use_when = "few negatives"
    source = "FT [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, alpha: float = 1.6):
        self.alpha = alpha

    def __call__(self, pairs: ContrastBatch) -> ContrastBatch:
        candidates, n = pairs.negatives, len(pairs.negatives)
        lottery = torch.rand(1, n, device=candidates.device)
        order = all_gather_with_grad(lottery)[0].argsort()  # alike on all processes
        share = draw_beta(self.alpha, n, candidates)[:, None]
        mixed = share * candidates + (1 - share) * candidates[order]
        both = pairs.mask & pairs.mask[:, order]
        weight = pairs.log_weight
        if weight is not None:
            weight = torch.cat([weight, torch.minimum(weight, weight[:, order])], 1)
        return replace(
            pairs,
            negatives=torch.cat([candidates, mixed]),
            mask=torch.cat([pairs.mask, both], 1),
            logit=pairs.logit.new_zeros(len(pairs.query), 0),
            log_weight=weight,
            negative_metadata=pairs.negative_metadata.map(lambda x: torch.cat([x, x])),
            parent=torch.cat([torch.arange(n, device=candidates.device), order]),
        )
