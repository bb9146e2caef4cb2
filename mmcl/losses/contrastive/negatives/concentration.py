"""Near negatives count more."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.weighting import concentration


class Concentration:
    """Near negatives count more: ``exp(beta s_ij)``, averaging 1 over a row (see ``weighting.concentration``).

    Source: Robinson et al., ICLR 2021 [C]; Choi et al. 2023 [C].
    """

    requires: frozenset[str] = frozenset()

    def __init__(self, beta: float = 1.0, detach: bool = False):
        self.beta, self.detach = beta, detach

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        return concentration(pairs.logit, pairs.mask, self.beta, self.detach, pairs.log_weight)
