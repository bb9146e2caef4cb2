"""What changes over a training, as pure functions of where it stands."""

from __future__ import annotations

import math


def contrast_weight(epoch: float, height: float, rise: float) -> float:
    """Weight of the semi-bag contrast, ``min(height, rise * epoch)`` (MACIL-SD: 1.5, 0.1).

    Args:
        epoch: From 0 on.
        height: What it rises to.
        rise: Per epoch.

    Example:
        >>> contrast_weight(1, 1.5, 0.1)
        0.1
    """
    return min(height, rise * epoch)


def snippet_contrast_weight(done: float, start: float, end: float) -> float:
    """Weight of the snippet contrast: from start to end by a half cosine.

    Args:
        done: Share of the training, 0 to 1.
        start: Weight at 0.
        end: Weight at 1.

    Example:
        >>> snippet_contrast_weight(0.5, 1.0, 0.0)
        0.5
    """
    return end + (start - end) * (math.cos(math.pi * min(done, 1.0)) + 1) / 2


def teacher_momentum(done: float, start: float) -> float:
    """Momentum of the unimodal teacher's update: from start to 1 by a half cosine.

    Args:
        done: Share of the training, 0 to 1.
        start: Momentum at 0.

    Example:
        >>> teacher_momentum(1.0, 0.91)
        1.0
    """
    return 1 - (1 - start) * (math.cos(math.pi * min(done, 1.0)) + 1) / 2


def learning_rate_factor(step: int, n_steps: int, warmup_ratio: float, n_decay: int | None = None) -> float:
    """Linear rise over the first share of the training, then a half cosine that reaches 0.

    Args:
        step: From 0 on.
        n_steps: Of the training.
        warmup_ratio: Share of the training in which it rises.
        n_decay: Step at which it reaches 0, the last by default.

    Example:
        >>> [round(learning_rate_factor(s, 4, 0.5), 2) for s in range(4)]
        [0.5, 1.0, 1.0, 0.5]
    """
    n_rise = round(warmup_ratio * n_steps)
    if step < n_rise:
        return (step + 1) / n_rise
    n_fall = max((n_decay or n_steps) - n_rise, 1)
    return (1 + math.cos(math.pi * min((step - n_rise) / n_fall, 1.0))) / 2


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """One number of three, different for every step and process.

    Example:
        >>> seed_of_step(0, 1, 0)
        4099
    """
    return (seed * 1_000_003 + step) * 4_099 % (2**31) + rank
