"""Tensors of all processes in one, with exact gradients. L0: imports nothing of mmcl."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def n_processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if n_processes() > 1 else 0


class _Gather(torch.autograd.Function):
    """Forward: concatenate over processes. Backward: add up what every process owes, keep our part."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.n = len(x)
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)  # it may be another tensor's gradient too
        dist.all_reduce(grad)
        start = dist.get_rank() * ctx.n
        return grad[start : start + ctx.n]


def gather(x: Tensor) -> Tensor:
    """``(n, ...)`` of each process -> ``(processes * n, ...)``, in the order of ranks.

    All processes must bring the same shape (``pad_to_common`` makes it so). With one process it is
    the identity. The gradient is that of one process holding the whole batch, when every process
    computes the losses of its own rows and the sum of these is the loss.
    """
    if n_processes() == 1:
        return x
    return _Gather.apply(x) if x.requires_grad else torch.cat(_collect(x))


def _collect(x: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return parts


def pad_to_common(x: Tensor, dim: int = 1) -> Tensor:
    """Zero-pad ``dim`` to the largest size that any process has there."""
    if n_processes() == 1:
        return x
    size = torch.tensor(x.shape[dim], device=x.device)
    dist.all_reduce(size, dist.ReduceOp.MAX)
    pad = list(x.shape)
    pad[dim] = int(size) - x.shape[dim]
    return torch.cat([x, x.new_zeros(pad)], dim)


class _Sum(torch.autograd.Function):
    """Forward: add up over processes. Backward: every process's loss depends on the sum, so add up too."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad


def sum_over_processes(x: Tensor) -> Tensor:
    """Sum over processes with the gradient of one process holding the whole batch (see ``gather``)."""
    return x if n_processes() == 1 else _Sum.apply(x)


def total(x: Tensor) -> Tensor:
    """Sum over processes, without gradient: for normalisers and figures."""
    x = x.detach().clone()
    if n_processes() > 1:
        dist.all_reduce(x)
    return x
