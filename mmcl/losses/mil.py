"""Multiple instance learning: snippet logits pooled to a bag's, and their loss against the bag's weak label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.distributed import all_reduce_sum, world_size
from mmcl.losses.checks import check_shape
from mmcl.types import upcast


def n_top(lengths: Tensor, topk_divisor: int) -> Tensor:
    """How many snippets stand for a bag: ``floor(length / topk_divisor) + 1``, at most its length.

    Args:
        lengths: ``(bag,)`` int, real snippets.
        topk_divisor: MACIL-SD takes 16.

    Example:
        >>> n_top(torch.tensor([1, 15, 40]), 16)
        tensor([1, 1, 3])
    """
    return torch.minimum(lengths // topk_divisor + 1, lengths.clamp(min=1))


def topk_pool(logit: Tensor, mask: Tensor, topk_divisor: int = 16) -> Tensor:
    """Mean of the k largest snippet logits of each bag and class, k by ``n_top``.

    Args:
        logit: ``(bag, snippet, class)``.
        mask: ``(bag, snippet)`` bool, True = real.
        topk_divisor: 1 makes it the mean.

    Returns:
        ``(bag, class)``; 0 for a bag without a real snippet.

    Raises:
        InputError: The shapes do not match.

    Reference:
        MACIL-SD (arXiv 2207.05500), section 3.2, k-max pooling.

    Example:
        >>> logit = torch.tensor([[[1.0], [5.0], [3.0]]])
        >>> topk_pool(logit, torch.tensor([[True, True, True]]), topk_divisor=2)
        tensor([[4.]])
    """
    check_shape("logit", logit, ("bag", "snippet", "class"))
    check_shape("mask", mask, tuple(logit.shape[:2]), is_bool=True)
    lengths = mask.sum(1)
    k = n_top(lengths, topk_divisor)
    k_max = mask.shape[1] // topk_divisor + 1  # a bound known without reading the mask
    top = logit.masked_fill(~mask[..., None], -torch.inf).topk(min(k_max, mask.shape[1]), dim=1).values
    chosen = torch.arange(top.shape[1], device=k.device) < torch.minimum(k, lengths)[:, None]
    return top.masked_fill(~chosen[..., None], 0).sum(1) / k[:, None]


def mil_loss(
    logit: Tensor,
    label: Tensor,
    multiclass: bool = False,
    label_smoothing: float = 0.0,
    valid: Tensor | None = None,
) -> Tensor:
    """Mean loss of pooled logits over bags.

    Args:
        logit: ``(bag, class)``.
        label: ``(bag, class)`` of 0 and 1.
        multiclass: False: binary cross-entropy of each class by itself, summed over classes (binary is one class).
            True: softmax cross-entropy over the bags that have a label; a label of zeros is an unlabelled bag.
        label_smoothing: 0 to 1, of classes that exclude each other.
        valid: ``(bag,)`` bool, the bags that count; all by default.

    Returns:
        Scalar.

    Raises:
        InputError: The shapes do not match.

    Reference:
        MACIL-SD (arXiv 2207.05500), eq. 2.

    Example:
        >>> mil_loss(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [0.0]]))
        tensor(0.6931)
    """
    check_shape("logit", logit, ("bag", "class"))
    check_shape("label", label, tuple(logit.shape))
    if valid is not None:
        check_shape("valid", valid, (len(logit),), is_bool=True)
    with torch.autocast(logit.device.type, enabled=False):
        logit = upcast(logit)
        label = label.to(logit.dtype)
        if multiclass:
            labelled = label.sum(1) > 0 if valid is None else (label.sum(1) > 0) & valid
            loss = nn.functional.cross_entropy(logit, label, label_smoothing=label_smoothing, reduction="none")
            n = all_reduce_sum(labelled.sum()).clamp(min=1)
            return torch.where(labelled, loss, 0.0).sum() / n * world_size()
        loss = nn.functional.binary_cross_entropy_with_logits(logit, label, reduction="none").sum(1)
        return loss.mean() if valid is None else masked_mean(loss, valid)


def normal_snippet_loss(logit: Tensor, mask: Tensor, label: Tensor) -> Tensor:
    """The loss that no snippet of a bag without events is one, mean over these snippets.

    Args:
        logit: ``(bag, snippet, class)``.
        mask: ``(bag, snippet)`` bool, True = real.
        label: ``(bag, class)`` of 0 and 1.

    Example:
        >>> mask = torch.ones(2, 3, dtype=torch.bool)
        >>> normal_snippet_loss(torch.zeros(2, 3, 1), mask, torch.tensor([[1.0], [0.0]]))
        tensor(0.6931)
    """
    normal = mask[..., None] & (label == 0)[:, None, :]
    return masked_mean(nn.functional.softplus(upcast(logit)), normal)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean where mask is True, over all processes; each returns its share, scaled by the number of processes.

    Example:
        >>> masked_mean(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False]))
        tensor(2.)
    """
    return x.masked_fill(~mask, 0).sum() / all_reduce_sum(mask.sum()).clamp(min=1) * world_size()


def to_score(logit: Tensor, multiclass: bool) -> Tensor:
    """Scores in [0, 1] of logits ``(..., class)``: softmax of classes that exclude each other, else sigmoid.

    Example:
        >>> to_score(torch.tensor([0.0]), multiclass=False)
        tensor([0.5000])
    """
    return logit.softmax(-1) if multiclass else logit.sigmoid()
