"""From snippet logits to a bag logit, padding excluded."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.errors import InputError


def n_top(lengths: Tensor, divisor: int) -> Tensor:
    """How many snippets stand for a bag: ``floor(length / divisor) + 1``, at most its length.

    MACIL-SD takes divisor 16. lengths: ``(bag,)`` int.
    """
    return torch.minimum(lengths // divisor + 1, lengths.clamp(min=1))


def topk_pool(logit: Tensor, mask: Tensor, divisor: int = 16) -> Tensor:
    """Mean of the k largest snippet logits of each bag and class, k by ``n_top``.

    logit: ``(bag, snippet, class)``; mask: ``(bag, snippet)`` bool, True = real. Returns
    ``(bag, class)``; 0 for a bag without a real snippet. divisor 1 makes it the mean.
    Source: MACIL-SD, section 3.2 (multiple instance learning with k-max pooling).
    """
    if logit.shape[:2] != mask.shape:
        raise InputError(
            f"mask: expected shape {tuple(logit.shape[:2])} of logit's bags and snippets, got {tuple(mask.shape)}"
        )
    lengths = mask.sum(1)
    k = n_top(lengths, divisor)
    k_max = mask.shape[1] // divisor + 1  # a bound known without reading the mask
    top = logit.masked_fill(~mask[..., None], -torch.inf).topk(min(k_max, mask.shape[1]), dim=1).values
    chosen = torch.arange(top.shape[1], device=k.device) < torch.minimum(k, lengths)[:, None]
    return top.masked_fill(~chosen[..., None], 0).sum(1) / k[:, None]
