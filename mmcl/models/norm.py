"""Norms over padded time that never see the padding."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mmcl.distributed import all_reduce_sum, all_reduce_with_grad
from mmcl.types import upcast

Norm = Literal["batch", "layer"]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of ``(bag, channel, frame)``, each frame by itself."""

    def __init__(self, n_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return nn.functional.layer_norm(x.transpose(1, 2), self.weight.shape, self.weight, self.bias).transpose(1, 2)


class MaskedBatchNorm(nn.Module):
    """Batch norm of ``(bag, channel, frame)`` whose statistics are those of real frames alone.

    In training the statistics are taken over the bags of all processes, with exact gradients, so that neither padding
    nor the number of processes changes a result; in evaluation the running ones are used. Statistics are computed in
    float32 at least.

    forward: ``x (bag, channel, frame)`` and ``mask (bag, frame)``, 1 where real -> the shape of x.

    Args:
        n_channels: Channels.
        momentum: Of the running statistics.
        eps: Is added to the variance.

    Reference:
        Ioffe and Szegedy, ICML 2015.

    Example:
        >>> MaskedBatchNorm(3)(torch.randn(2, 3, 5), torch.ones(2, 5)).shape
        torch.Size([2, 3, 5])
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, n_channels: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))
        self.register_buffer("running_mean", torch.zeros(n_channels))
        self.register_buffer("running_var", torch.ones(n_channels))
        self.momentum, self.eps = momentum, eps

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            exact = upcast(x)
            mean, var = self._statistics(exact, mask) if self.training else (self.running_mean, self.running_var)
            scale = self.weight * (var + self.eps).rsqrt()
            shift = self.bias - mean * scale
            return torch.addcmul(shift[:, None], exact, scale[:, None]).to(x.dtype)

    def _statistics(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        valid = mask[:, None].to(x.dtype)
        n_real = all_reduce_sum(valid.sum())
        n = n_real.clamp(min=1)
        mean = all_reduce_with_grad((x * valid).sum((0, 2))) / n
        var = all_reduce_with_grad(((x - mean[:, None]) * valid).square().sum((0, 2))) / n
        with torch.no_grad():
            unbiased = var * (n / (n - 1).clamp(min=1))
            for running, now in ((self.running_mean, mean), (self.running_var, unbiased)):
                # a batch in which no bag has this modality says nothing
                running.lerp_(torch.where(n_real > 0, now.to(running.dtype), running), self.momentum)
        return mean, var


NORMS: dict[Norm, type[nn.Module]] = {"batch": MaskedBatchNorm, "layer": ChannelNorm}
