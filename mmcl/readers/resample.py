"""Resampling of signals by linear interpolation."""

from __future__ import annotations

import numpy as np


def interpolate(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Samples between frames; beyond the ends the nearest is held.

    Args:
        x: ``(frame, ...)``.
        at: ``(sample,)``, positions in frames.

    Returns:
        ``(sample, ...)``.

    Example:
        >>> interpolate(np.array([[0.0], [10.0]]), np.array([0.25, 5.0])).ravel().tolist()
        [2.5, 10.0]
    """
    at = np.clip(at, 0, len(x) - 1)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(x) - 1)
    share = (at - low).astype(np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return x[low] * (1 - share) + x[high] * share


def resample(x: np.ndarray, rate_hz: float, to_hz: float, n_frames: int) -> np.ndarray:
    """A signal at another rate.

    Sample k of a signal stands for the moment (k + 1/2) / rate, so that two rates share their start and end.

    Args:
        x: ``(frame, ...)`` at ``rate_hz``.
        rate_hz: Samples a second [Hz].
        to_hz: Samples a second of the result [Hz].
        n_frames: Samples of the result.

    Returns:
        ``(n_frames, ...)``.

    Example:
        >>> resample(np.arange(4.0)[:, None], 4.0, 2.0, 2).ravel().tolist()
        [0.5, 2.5]
    """
    return interpolate(x, (np.arange(n_frames) + 0.5) / to_hz * rate_hz - 0.5)


def to_length(x: np.ndarray, n: int) -> np.ndarray:
    """A signal time-stretched to ``n`` frames.

    Args:
        x: ``(frame, ...)``.
        n: Frames of the result.

    Example:
        >>> to_length(np.arange(4.0)[:, None], 2).ravel().tolist()
        [0.5, 2.5]
    """
    return interpolate(x, (np.arange(n) + 0.5) / n * len(x) - 0.5)
