"""Predicts hidden snippets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.losses.contrastive.sequence_terms._shared import Embeddings, TwoConvolutions, mean_of_valid
from mmcl.types import l2_normalize


class MaskedPrediction(nn.Module):
    """Predicts hidden snippets.

    Snippets are hidden from the embeddings of a modality, and predicted from what is left of both modalities.

    A learned token stands for hidden snippets; a convolution over time of both modalities predicts the teacher's (the
    student's own, where there is none, constant) embedding there: mean 1 - cos over the hidden.

    Args:
        dim: Size of the embeddings.
        share: Of the snippets that are hidden.

    Reference:
        "AD-L-JEPA" [C]; its hinge on the spread is ``regularizers.StdHinge``.

    Example:
        >>> z = {m: torch.randn(2, 6, 8) for m in ("audio", "visual")}
        >>> MaskedPrediction(8)(z, None, torch.ones(2, 6, dtype=torch.bool)).shape
        torch.Size([])
    """

    formula = r"1 - \cos(\hat z_t, \bar z_t)"
    use_when = "long recordings"
    source = "AD-L-JEPA [C]"

    requires: frozenset[str] = frozenset()
    optional = frozenset({"teacher"})
    default_weight = 0.1

    def __init__(self, dim: int, share: float = 0.5):
        super().__init__()
        self.share = share
        self.token = nn.Parameter(torch.zeros(dim))
        self.net = TwoConvolutions(2 * dim, dim, dim)

    def forward(self, own: Embeddings, teacher: Embeddings | None, mask: Tensor) -> Tensor:
        terms = []
        for m, z in own.items():
            hidden = (torch.rand(mask.shape, device=mask.device) < self.share) & mask
            visible = torch.where(hidden[..., None], self.token.to(z.dtype), z)
            others = [x for other, x in own.items() if other != m] or [z]
            predicted = self.net(torch.cat([visible, others[0]], -1), mask)
            aim = (own if teacher is None else teacher)[m].detach()
            terms.append(mean_of_valid(1 - (l2_normalize(predicted) * l2_normalize(aim)).sum(-1), hidden))
        return torch.stack(terms).mean()
