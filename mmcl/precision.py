"""Single precision where it matters. L0: imports nothing of mmcl."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay what they are."""
    return x if x.dtype == torch.float64 else x.float()
