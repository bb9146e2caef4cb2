"""Margins from the batch's bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import masked_mean, valid_pairs


class AdaptiveMargin:
    """Margins from the batch's bounds.

    Positives above and negatives below the batch's own bounds: ``mean max(0, s+ - lo) + mean max(0, hi - s-)``.

    With lo = min(min s+, max s-) and hi = max(min s+, max s-), of the cosines.

    Reference:
        "MCLRec" [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> AdaptiveMargin()(example_batch()).shape
        torch.Size([])
    """

    formula = r"\overline{\max(0, s^+ - l)} + \overline{\max(0, u - s^-)}"
    use_when = "with `learned-view`"
    source = "MCLRec [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        cosine = a @ b.T
        is_pair = is_valid[:, None] * is_valid[None, :] > 0
        own = torch.eye(len(a), dtype=torch.bool, device=a.device)
        positive = torch.where(is_valid > 0, cosine.diagonal(), torch.inf)
        other = is_pair & ~own
        highest = torch.where(other, cosine, -torch.inf).max()
        lo, hi = torch.minimum(positive.min(), highest), torch.maximum(positive.min(), highest)
        lo, hi = (torch.where(x.isfinite(), x, 0.0) for x in (lo, hi))
        near = masked_mean(torch.relu(torch.where(is_valid > 0, positive, 0.0) - lo), is_valid)
        return near + masked_mean(torch.relu(hi - cosine), other.to(a.dtype))
