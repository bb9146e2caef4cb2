"""Which keys attract a query beside its positive: callables pairs -> ``(query, key)`` >= 0, rows adding up to 1 at most.

What is left to 1 is the share of the row's own positive. Marks of the sources as in ``rows``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.losses.pairs import Pairs, same_label
from mmcl.losses.rows import needed, unit


class SupCon:
    """All keys with the query's label attract as much as its own positive: each ``1 / (1 + n_i)``.

    Source: Khosla et al., "Supervised contrastive learning", NeurIPS 2020 [C], its outer form.
    """

    def __call__(self, pairs: Pairs) -> Tensor:
        y, y_key = pairs.about.label, pairs.about_key.label
        same = same_label(needed(y, "supcon", "about.label"), needed(y_key, "supcon", "about_key.label"))
        same = torch.where(pairs.mask, (same == 1).float(), 0.0)
        return same / (1 + same.sum(-1, keepdim=True))


class LabelOverlap:
    """Keys attract by how far their labels overlap: ``f_ij / (1 + sum_j f_ij)``, f the Jaccard index.

    Source: "SPACE-2" [C targets; loss M]; the levels of its trees are one here.
    """

    def __call__(self, pairs: Pairs) -> Tensor:
        y, y_key = pairs.about.label, pairs.about_key.label
        f = same_label(
            needed(y, "label-overlap", "about.label"), needed(y_key, "label-overlap", "about_key.label")
        )
        f = torch.where(pairs.mask, f, 0.0)
        return f / (1 + f.sum(-1, keepdim=True))


class SoftTeacher:
    """Keys attract by what a teacher thinks of them: ``share softmax_j(cos of its encodings / t)`` over positive and keys.

    Source: the soft labels of "LG-ANNA" [A] and the distillation of "AR2" [C].
    """

    def __init__(self, share: float = 0.5, t: float = 0.05):
        self.share, self.t = share, t

    def __call__(self, pairs: Pairs) -> Tensor:
        own = unit(needed(pairs.about.teacher, "soft-teacher", "about.teacher").detach())
        key = unit(needed(pairs.about_key.teacher, "soft-teacher", "about_key.teacher").detach())
        cosine = torch.where(pairs.mask, own @ key.T / self.t, -torch.inf)
        positive = unit(
            needed(pairs.about_positive.teacher, "soft-teacher", "about_positive.teacher").detach()
        )
        with_itself = (own * positive).sum(-1, keepdim=True) / self.t
        return self.share * torch.cat([cosine, with_itself], 1).softmax(1)[:, :-1]
