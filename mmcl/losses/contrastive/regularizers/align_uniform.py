"""Pulls pairs, spreads anchors."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import log_mean_kernel, masked_mean, valid_pairs


class AlignUniform:
    """Pulls pairs, spreads anchors.

    ``mean |a - b|^2 + share (U(a) + U(b)) / 2``, U the log mean of Gaussian kernels of all anchors.

    Args:
        share: Weight of the uniformity.
        t: Of the kernel.

    Reference:
        Wang and Isola, ICML 2020 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> AlignUniform()(example_batch()).shape
        torch.Size([])
    """

    formula = r"\overline{\lVert a - b \rVert^2} + \log \overline{e^{-2 \lVert a_i - a_j \rVert^2}}"
    use_when = "to monitor and to balance the two"
    source = "Wang 2020 [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, share: float = 1.0, t: float = 2.0):
        self.share, self.t = share, t

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        align = masked_mean((a - b).square().sum(-1), is_valid)
        return align + self.share * (log_mean_kernel(a, is_valid, self.t) + log_mean_kernel(b, is_valid, self.t)) / 2
