"""``mean |a - b|^2 + share (U(a) + U(b)) / 2``, U the log mean of Gaussian kernels of all rows."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import log_mean_kernel, masked_mean, valid_pairs


class AlignUniform:
    """``mean |a - b|^2 + share (U(a) + U(b)) / 2``, U the log mean of Gaussian kernels of all rows.

    Source: Wang and Isola, ICML 2020 [C].
    """

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, share: float = 1.0, t: float = 2.0):
        self.share, self.t = share, t

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, real = valid_pairs(pairs)
        align = masked_mean((a - b).square().sum(-1), real)
        return align + self.share * (log_mean_kernel(a, real, self.t) + log_mean_kernel(b, real, self.t)) / 2
