"""Terms beside the contrast, of all anchors of all processes: callables pairs -> scalar.

Every process returns the value of the anchors of all processes; ``valid_pairs`` gathers them so that the gradients are
those of one process with all anchors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch

FAR = -1e9  # a logit of what is not there


def valid_pairs(pairs: ContrastBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and positives of all processes and, ``(anchor,)`` 0 or 1, which count."""
    valid = torch.ones(len(pairs.query), device=pairs.query.device) if pairs.valid is None else pairs.valid
    return (
        all_gather_with_grad(pairs.query),
        all_gather_with_grad(pairs.positive),
        all_gather_with_grad(valid.to(pairs.query.dtype)),
    )


def masked_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``x (sample,)`` weighted by ``weight (sample,)``."""
    return (x * weight).sum() / weight.sum().clamp(min=1)


def log_mean_kernel(z: Tensor, valid: Tensor, t: float) -> Tensor:
    """``log mean_{i != j} exp(-t |z_i - z_j|^2)`` over the real anchors; 0 where there are not two."""
    both = valid[:, None] * valid[None, :] * (1 - torch.eye(len(z), device=z.device, dtype=z.dtype))
    has_pairs = both.sum() > 0
    exponent = torch.where(both > 0, -t * squared_distances(z), torch.where(has_pairs, -torch.inf, 0.0))
    return torch.where(has_pairs, exponent.flatten().logsumexp(0) - both.sum().clamp(min=1).log(), 0.0)


def squared_distances(z: Tensor) -> Tensor:
    """``(sample, sample)`` squared distances of ``z (sample, dim)``."""
    norm = z.square().sum(1)
    return (norm[:, None] + norm[None] - 2 * z @ z.T).clamp(min=0)
