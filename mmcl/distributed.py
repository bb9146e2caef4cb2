"""Tensors of all processes in one, with exact gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    """Number of processes.

    Example:
        >>> world_size()
        1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0 on.

    Example:
        >>> rank()
        0
    """
    return dist.get_rank() if world_size() > 1 else 0


def share_out(parts: Sequence[T]) -> list[T]:
    """Every ``world_size()``-th part, from this process's on.

    Args:
        parts: The same on all processes.

    Example:
        >>> share_out(["a", "b"])
        ['a', 'b']
    """
    return list(parts[rank() :: world_size()])


def gather_parts(own: Sequence[T], n: int) -> list[T]:
    """The results of all processes, in the order of the parts that were shared out.

    Args:
        own: Of this process, one a part of ``share_out``.
        n: Parts in all.

    Example:
        >>> gather_parts(["a", "b"], 2)
        ['a', 'b']
    """
    if world_size() == 1:
        return list(own)
    of_all: list[Any] = [None] * world_size()
    dist.all_gather_object(of_all, list(own))
    return [of_all[i % len(of_all)][i // len(of_all)] for i in range(n)]


class _Gather(torch.autograd.Function):
    """Forward: concatenate over processes. Backward: sum the gradients of all processes, keep this one's part."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.n = len(x)
        return torch.cat(_collect(x))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)  # it may be another tensor's gradient too
        dist.all_reduce(grad)
        start = dist.get_rank() * ctx.n
        return grad[start : start + ctx.n]


def all_gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate over processes, in the order of ranks.

    The gradient is that of one process holding the whole batch, when every process computes the losses of its own
    samples and the sum of these is the loss. With one process it is the identity.

    Args:
        x: ``(n, ...)``, of the same shape on all processes (``pad_to_longest``).

    Returns:
        ``(processes * n, ...)``.

    Example:
        >>> all_gather_with_grad(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if world_size() == 1:
        return x
    return _Gather.apply(x) if x.requires_grad else torch.cat(_collect(x))


def _collect(x: Tensor) -> list[Tensor]:
    of_each = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(of_each, x.contiguous())
    return of_each


def pad_to_longest(x: Tensor, dim: int = 1) -> Tensor:
    """Zero-pad a dimension to the largest size that any process has there.

    Args:
        x: Any tensor.
        dim: The dimension.

    Example:
        >>> pad_to_longest(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if world_size() == 1:
        return x
    size = torch.tensor(x.shape[dim], device=x.device)
    dist.all_reduce(size, dist.ReduceOp.MAX)
    pad = list(x.shape)
    pad[dim] = int(size) - x.shape[dim]
    return torch.cat([x, x.new_zeros(pad)], dim)


class _Sum(torch.autograd.Function):
    """Forward: sum over processes. Backward: every process's loss depends on the sum, so sum the gradients too."""

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


def all_reduce_with_grad(x: Tensor) -> Tensor:
    """Sum over processes with the gradient of one process holding the whole batch.

    Args:
        x: Of the same shape on all processes.

    Example:
        >>> all_reduce_with_grad(torch.ones(2))
        tensor([1., 1.])
    """
    return x if world_size() == 1 else _Sum.apply(x)


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sum over processes without gradient, for denominators and metrics.

    Args:
        x: Of the same shape on all processes.

    Example:
        >>> all_reduce_sum(torch.ones(2))
        tensor([1., 1.])
    """
    x = x.detach().clone()
    if world_size() > 1:
        dist.all_reduce(x)
    return x
