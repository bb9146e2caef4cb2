"""Calibration: is a score the share of such snippets or recordings that show the event?"""

from __future__ import annotations

import math

import numpy as np

N_BINS = 10


def calibration(label: np.ndarray, score: np.ndarray, n_bins: int = N_BINS) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean score and share of the class in bins of about equally many, and the expected calibration error.

    Equal scores share a bin, so that the order of the input means nothing.

    Args:
        label: ``(item,)`` in [0, 1]: 0 or 1, or the share of an item's frames.
        score: ``(item,)`` in [0, 1].
        n_bins: Bins, of which those without items are left out.

    Returns:
        ``(bin,)`` mean score, ``(bin,)`` mean label, and the mean of their distances, weighted by items.

    Reference:
        Naeini et al., AAAI 2015 (expected calibration error); Nguyen and O'Connor, EMNLP 2015 (equally full bins).

    Example:
        >>> mean, share, error = calibration(np.array([0, 1, 0, 1]), np.array([0.1, 0.1, 0.9, 0.9]), 2)
        >>> share.tolist(), round(error, 2)
        ([0.5, 0.5], 0.4)
    """
    _, value, count = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2  # of the ranks that equal scores share
    number = (middle * n_bins / len(score)).astype(int)[value]
    n = np.bincount(number, minlength=n_bins)
    is_used = n > 0
    mean, share = (np.bincount(number, v, n_bins)[is_used] / n[is_used] for v in (score, label))
    return mean, share, float((n[is_used] * np.abs(mean - share)).sum() / len(score))


def calibration_error(label: np.ndarray, score: np.ndarray) -> float:
    """The expected calibration error; NaN without items, or where scores are no probabilities.

    Args:
        label: As ``calibration`` takes it.
        score: ``(item,)``.

    Example:
        >>> calibration_error(np.array([0, 1]), np.array([-3.0, 2.0]))
        nan
    """
    if not len(score) or not (np.min(score) >= 0 and np.max(score) <= 1 + 1e-6):
        return math.nan
    return calibration(label, score)[2]
