"""Scores smoothed over neighbouring snippets, as an event outlasts one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def smooth_logits(logit: Tensor, mask: Tensor, n: int) -> Tensor:
    """Mean of the logits among ``n`` snippets around each, padding left out.

    At an event's edges, where a window holds a little of it, this keeps scores from rising as high as in its middle.

    Args:
        logit: ``(bag, snippet, class)``.
        mask: ``(bag, snippet)`` bool.
        n: Odd.

    Example:
        >>> smooth_logits(torch.tensor([[[0.0], [3.0]]]), torch.ones(1, 2, dtype=torch.bool), 3).flatten()
        tensor([1.5000, 1.5000])
    """
    if n == 1:
        return logit
    weight = mask[:, None].to(logit.dtype)
    total = nn.functional.avg_pool1d(logit.transpose(1, 2) * weight, n, 1, n // 2)
    return (total / nn.functional.avg_pool1d(weight, n, 1, n // 2).clamp(min=1e-6)).transpose(1, 2)


def smooth_probabilities(logit: Tensor, mask: Tensor, n: int, neighbours: Tensor | None = None) -> Tensor:
    """Logits of the mean probability among ``n`` snippets around each, weighted by a triangle, padding left out.

    A snippet whose logit is extreme does not outweigh its neighbours, as it does in a mean of logits.

    Args:
        logit: ``(bag, snippet, class)``, of classes that do not exclude each other.
        mask: ``(bag, snippet)`` bool.
        n: Odd.
        neighbours: ``()``, what the weights of all but the snippet itself are multiplied by: 1 by default, 0 = the
            logits as they are.

    Returns:
        Of the shape of ``logit``, float32, computed from logarithms, so that no probability is rounded to 0 or 1.

    Example:
        >>> all_real = torch.ones(1, 3, dtype=torch.bool)
        >>> smooth_probabilities(torch.tensor([[[-9.0], [9.0], [-9.0]]]), all_real, 3).sigmoid().flatten()
        tensor([0.3334, 0.5000, 0.3334])
    """
    if n == 1:
        return logit
    half, size = n // 2, logit.shape[1]
    padded = nn.functional.pad(logit.float(), (0, 0, half, half))
    is_real = nn.functional.pad(mask, (half, half))
    shifted, weights = [], []
    for offset in range(n):
        weight = half + 1 - abs(offset - half)
        counts = is_real[:, offset : offset + size, None]
        if offset == half:
            counts = torch.ones_like(counts)  # so that padding has a score, which nobody reads
        shifted.append(padded[:, offset : offset + size])
        weight_of = torch.where(counts, float(weight), 0.0)
        weights.append((weight_of if neighbours is None or offset == half else weight_of * neighbours).log())
    z, log_weight = torch.stack(shifted), torch.stack(weights)
    positive = torch.logsumexp(nn.functional.logsigmoid(z) + log_weight, 0)
    negative = torch.logsumexp(nn.functional.logsigmoid(-z) + log_weight, 0)
    return positive - negative
