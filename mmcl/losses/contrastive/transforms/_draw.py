"""Random numbers of the transforms."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad


def draw_beta(alpha: float, n: int, like: Tensor) -> Tensor:
    """``(n,)`` draws of Beta(alpha, alpha), alike on all processes; nothing waits for the device.

    Args:
        alpha: Above 0.
        n: How many.
        like: Gives the device and the type.

    Example:
        >>> draw_beta(2.0, 3, torch.ones(1)).shape
        torch.Size([3])
    """
    concentration = torch.full((), alpha, device=like.device)
    beta = torch.distributions.Beta(concentration, concentration, validate_args=False)
    return all_gather_with_grad(beta.sample((1, n)).to(like.dtype))[0]
