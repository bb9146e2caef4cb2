"""Predicts how far stretches overlap."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.contrastive.sequence_terms._shared import Embeddings, mean_of_valid
from mmcl.types import l2_normalize


class OverlapPrediction:
    """Predicts how far stretches overlap.

    How alike a random stretch of one modality and fixed windows of the other are says how far they overlap in time.

    Bases: ``n_bases`` equal windows of a bag, their means in modality b; the stretch's mean in a. With ``l = max(0,
    cos)`` and o the share of the stretch that lies in a window: ``-sum o log(1 - |o - l|) / sum o - mean_{o = 0}
    log(1 - l)``, and the bases of a bag are kept apart, ``mean_{i < j} max(0, cos(base_i, base_j, constant))^2``.

    Args:
        n_bases: Windows of a bag.
        share: Length of the stretch, as a share of the bag.
        apart: Weight of the bases' distance.

    Reference:
        Wu et al., "VoCo", CVPR 2024 [C], in one dimension.

    Example:
        >>> z = {m: torch.randn(2, 6, 8) for m in ("audio", "visual")}
        >>> OverlapPrediction()(z, None, torch.ones(2, 6, dtype=torch.bool)).shape
        torch.Size([])
    """

    formula = r"-\frac{\sum_w o_w \log(1 - \lvert o_w - l_w \rvert)}{\sum_w o_w}"
    use_when = "long recordings"
    source = "VoCo [C], 1-D"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, n_bases: int = 4, share: float = 0.3, apart: float = 0.1):
        self.n_bases, self.share, self.apart = n_bases, share, apart

    def __call__(self, own: Embeddings, teacher: Embeddings | None, mask: Tensor) -> Tensor:
        n = mask.sum(1, keepdim=True).float()
        at = torch.arange(mask.shape[1], device=mask.device)
        window = (at * self.n_bases / n.clamp(min=1)).long().clamp(max=self.n_bases - 1)
        dtype = next(iter(own.values())).dtype
        inside = ((window[..., None] == torch.arange(self.n_bases, device=mask.device)) & mask[..., None]).to(dtype)
        length = (self.share * n).clamp(min=1).round()
        start = (torch.rand_like(n) * (n - length + 1)).floor()
        stretch = ((at >= start) & (at < start + length) & mask).to(dtype)
        overlap = torch.einsum("bs,bsw->bw", stretch, inside) / stretch.sum(1, keepdim=True).clamp(min=1)
        long_enough = mask.sum(1) >= self.n_bases
        eye = torch.eye(self.n_bases, dtype=torch.bool, device=mask.device)
        terms = []
        for m, a in own.items():
            for other, b in own.items():
                if m == other:
                    continue
                base = l2_normalize(torch.einsum("bsw,bsd->bwd", inside, b))
                crop = l2_normalize(torch.einsum("bs,bsd->bd", stretch, a))
                near = torch.einsum("bd,bwd->bw", crop, base).clamp(0, 1 - 1e-4)
                miss = -(1 - (overlap - near).abs()).clamp(min=1e-4).log()
                hit = (overlap * miss).sum(1) / overlap.sum(1).clamp(min=1e-6)
                none = overlap == 0
                clear = torch.where(none, -torch.log1p(-near), 0.0).sum(1) / none.sum(1).clamp(min=1)
                between = torch.einsum("bwd,bvd->bwv", base, base.detach()).clamp(min=0).square()
                loss = hit + clear + self.apart * between.masked_fill(eye, 0).mean((1, 2))
                terms.append(mean_of_valid(loss, long_enough))
        return torch.stack(terms).mean()
