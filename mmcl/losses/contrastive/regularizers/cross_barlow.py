"""Decorrelates dimensions."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import valid_pairs


class CrossBarlow:
    """Decorrelates dimensions.

    The correlation of the two sides' dimensions is the identity: ``sum_d (C_dd - 1)^2 + off sum_{d != e} C_de^2``.

    Args:
        off: Weight of the entries off the diagonal.

    Reference:
        Fini et al., "Improved baselines for vision-language pre-training" (BarLIP) [C], after Barlow Twins.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> CrossBarlow()(example_batch()).shape
        torch.Size([])
    """

    formula = r"\sum_d (C_{dd} - 1)^2 + \lambda \sum_{d \neq e} C_{de}^2"
    use_when = "small batches"
    source = "clip-rocket [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.025

    def __init__(self, off: float = 5e-3):
        self.off = off

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        n = is_valid.sum().clamp(min=1)

        def standard(z: Tensor) -> Tensor:
            mean = (z * is_valid[:, None]).sum(0) / n
            centred = (z - mean) * is_valid[:, None]
            return centred / (centred.square().sum(0) / n + 1e-5).sqrt()

        c = standard(a).T @ standard(b) / n
        diagonal = c.diagonal()
        return (diagonal - 1).square().sum() + self.off * (c.square().sum() - diagonal.square().sum())
