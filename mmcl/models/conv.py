"""Convolutions over padded time that a bag's padding can never reach."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.models.norm import NORMS, Norm


class ConvBlock(nn.Module):
    """Masked convolution over time, norm, ReLU, channel dropout; residual where shapes allow.

    Input ``(bag, channel, frame)`` and ``mask (bag, frame)``; output has ``frame / stride`` frames
    (the stride divides the frames of a hop, so that hops stay aligned). Padded frames are set to
    zero before the convolution, exactly what stands beyond the end of an unpadded bag.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, dropout: float = 0.0, norm: Norm = "batch"):
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
        self.stride = stride
        self.norm = NORMS[norm](n_out)
        self.dropout = nn.Dropout1d(dropout)
        self.residual = n_in == n_out and stride == 1

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.conv(x * mask[:, None])
        y = self.dropout(torch.relu(self.norm(y, mask[:, :: self.stride])))
        return x + y if self.residual else y


def hop_mask(mask: Tensor, hops_per_window: int) -> Tensor:
    """``(bag, hop)``: the hops that a bag's real snippets cover. mask: ``(bag, snippet)``."""
    extra = hops_per_window - 1
    if extra == 0:
        return mask
    covers = [nn.functional.pad(mask, (i, extra - i)) for i in range(hops_per_window)]
    return torch.stack(covers).any(0)


def frame_mask(mask: Tensor, hops_per_window: int, per_hop: int) -> Tensor:
    """``(bag, frame)`` float: 1 where a real hop is."""
    return hop_mask(mask, hops_per_window).repeat_interleave(per_hop, dim=1).float()
