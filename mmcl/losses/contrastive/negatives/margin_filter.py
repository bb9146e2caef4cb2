"""What is nearer than the positive, or nearly, is left out."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch


class MarginFilter:
    """What is nearer than the positive, or nearly, is left out.

    Only what is farther than the positive by a margin is a negative: ``cos_ij < cos_ii - margin``.

    Args:
        margin: In cosines; None = use the share.
        share: With margin None: ``cos_ij < share cos_ii``, the other rule of the source.

    Reference:
        "LG-ANNA" [A; rule M].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> MarginFilter()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = [\cos_{ij} < \cos_{ii} - m]"
    use_when = "beside concentration"
    source = "LG-ANNA [A]"

    requires: frozenset[str] = frozenset()

    def __init__(self, margin: float | None = 0.05, share: float = 0.95):
        self.margin, self.share = margin, share

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        with torch.no_grad():
            own = (pairs.query * pairs.positive).sum(-1, keepdim=True)
            limit = self.share * own if self.margin is None else own - self.margin
            return torch.where(pairs.query @ pairs.negatives.T < limit, 0.0, -torch.inf)
