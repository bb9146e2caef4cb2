"""Keeps dimensions alive."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import valid_pairs


class StdHinge:
    """Keeps dimensions alive.

    Keep every dimension alive: ``mean_d max(0, 1 / sqrt(dim) - sqrt(var_d + 1e-4))`` of both sides.

    Reference:
        "AD-L-JEPA" [C], after VICReg.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> StdHinge()(example_batch()).shape
        torch.Size([])
    """

    formula = r"\overline{\max(0, D^{-1/2} - \sigma_d)}"
    use_when = "with `masked-prediction`"
    source = "AD-L-JEPA [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 1.0

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        return (self._one(a, is_valid) + self._one(b, is_valid)) / 2

    @staticmethod
    def _one(z: Tensor, is_valid: Tensor) -> Tensor:
        n = is_valid.sum().clamp(min=2)
        mean = (z * is_valid[:, None]).sum(0) / n
        var = ((z - mean) * is_valid[:, None]).square().sum(0) / (n - 1)
        return torch.relu(1 / math.sqrt(z.shape[1]) - (var + 1e-4).sqrt()).mean()
