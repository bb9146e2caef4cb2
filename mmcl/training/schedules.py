"""What changes over a run, as pure functions of where it stands."""

from __future__ import annotations

import math


def contrast_weight(epoch: float, height: float, rise: float) -> float:
    """Lambda of the contrast, ``min(height, rise * epoch)``, epoch from 0 (MACIL-SD: 1.5, 0.1)."""
    return min(height, rise * epoch)


def instance_weight(done: float, start: float, end: float) -> float:
    """Weight of the instance contrast: from start to end by a half cosine, done from 0 to 1."""
    return end + (start - end) * (math.cos(math.pi * min(done, 1.0)) + 1) / 2


def transfer_momentum(done: float, start: float) -> float:
    """m of the teacher's transfer: from ``start`` to 1 by a half cosine, done from 0 to 1."""
    return 1 - (1 - start) * (math.cos(math.pi * min(done, 1.0)) + 1) / 2


def learning_rate_factor(step: int, n_steps: int, warmup: float, n_decay: int | None = None) -> float:
    """Linear rise over the first part ``warmup`` of the run, then a half cosine that reaches 0 at step
    ``n_decay`` (the run's last, if left out)."""
    n_rise = round(warmup * n_steps)
    if step < n_rise:
        return (step + 1) / n_rise
    n_fall = max((n_decay or n_steps) - n_rise, 1)
    return (1 + math.cos(math.pi * min((step - n_rise) / n_fall, 1.0))) / 2
