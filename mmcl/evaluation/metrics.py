"""Metrics, each named for what it computes. scikit-learn, which takes two seconds to import, is imported by use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve, step-wise; NaN where nothing is true.

    Args:
        truth: ``(n,)`` bool.
        score: ``(n,)``.

    Example:
        >>> average_precision(np.array([True, False]), np.array([0.9, 0.1]))
        1.0
    """
    return ranked_counts(truth, score).average_precision


def trapezoid_pr_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve by trapezoids, as MACIL-SD computes "AP".

    Optimistic on scores with few distinct values; report it beside ``average_precision``.

    Args:
        truth: ``(n,)`` bool.
        score: ``(n,)``.

    Example:
        >>> trapezoid_pr_auc(np.array([True, False]), np.array([0.9, 0.1]))
        1.0
    """
    return ranked_counts(truth, score).trapezoid_pr_auc


def roc_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN when only one kind of truth occurs."""
    return ranked_counts(truth, score).roc_auc


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of bags whose class is right. Both ``(bag,)`` int."""
    return float(np.mean(truth == predicted))


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """F1 of each class, averaged over the classes that occur in the truth."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, average="macro", labels=np.unique(truth), zero_division=0))


def ranked_counts(truth: np.ndarray, score: np.ndarray) -> RankedCounts:
    """Sorted once, for several areas under curves.

    Args:
        truth: ``(n,)`` bool.
        score: ``(n,)``.

    Raises:
        ValueError: A score is no finite number.

    Example:
        >>> ranked_counts(np.array([True, False]), np.array([0.9, 0.1])).roc_auc
        1.0
    """
    if not np.isfinite(score).all():
        raise ValueError(f"score: expected finite numbers, got {np.count_nonzero(~np.isfinite(score))} that are not")
    positive = np.asarray(truth).astype(np.int64)
    if not len(positive):
        return RankedCounts(positive, positive)
    return Ranking(np.asarray(score), positive, 1 - positive, np.zeros(len(positive), int)).counts(np.ones(1))


@dataclass(frozen=True)
class RankedCounts:
    """Positives and negatives at or above each distinct score, highest first: all that precision,
    recall and ROC need, without one row per frame.

    ``true_positive``, ``false_positive``: ``(score,)``, cumulative.
    """

    true_positive: np.ndarray
    false_positive: np.ndarray

    @property
    def average_precision(self) -> float:
        """Step-wise, as scikit-learn's; NaN without positives."""
        tp, fp = self.true_positive, self.false_positive
        if not len(tp) or tp[-1] == 0:
            return float("nan")
        return float((np.diff(tp, prepend=0) * tp / np.maximum(tp + fp, 1)).sum() / tp[-1])

    @property
    def trapezoid_pr_auc(self) -> float:
        """By trapezoids from the point (recall 0, precision 1), as MACIL-SD computes "AP"."""
        tp, fp = self.true_positive, self.false_positive
        if not len(tp) or tp[-1] == 0:
            return float("nan")
        precision = np.append(1.0, tp / np.maximum(tp + fp, 1))
        return float(np.trapezoid(precision, np.append(0.0, tp / tp[-1])))

    @property
    def roc_auc(self) -> float:
        """NaN when only one kind occurs."""
        tp, fp = self.true_positive, self.false_positive
        if not len(tp) or tp[-1] == 0 or fp[-1] == 0:
            return float("nan")
        return float(np.trapezoid(np.append(0, tp) / tp[-1], np.append(0, fp) / fp[-1]))


class Ranking:
    """Scores sorted once, to count under many weightings of the recordings they come from.

    score: ``(n,)``; positive, negative: ``(n,)``, how many frames of each kind have that score;
    recording: ``(n,)`` int, which recording each comes from.
    """

    def __init__(self, score: np.ndarray, positive: np.ndarray, negative: np.ndarray, recording: np.ndarray):
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        self.last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of each distinct score
        self.positive, self.negative, self.recording = positive[order], negative[order], recording[order]
        begins = np.zeros(len(order), int)
        begins[self.last[:-1] + 1] = 1
        tie = np.cumsum(begins)  # number of the distinct score
        self.at = np.flatnonzero(self.positive)
        self.end = self.last[tie[self.at]]  # the last one of its score
        self.tie_end = np.searchsorted(tie[self.at], tie[self.at], "right") - 1  # the last positive of its score
        self.frames = self.positive + self.negative

    def counts(self, weight: np.ndarray) -> RankedCounts:
        """weight: ``(recording,)`` how often each recording counts: 0 or 1 to choose, more to resample."""
        w = weight.astype(self.positive.dtype)[self.recording]
        return RankedCounts(*((w * frames).cumsum()[self.last] for frames in (self.positive, self.negative)))

    def average_precision(self, weight: np.ndarray) -> float:
        """``counts(weight).average_precision`` where positives are few, in a third of the time.

        Args:
            weight: ``(recording,)`` how often each recording counts.

        Example:
            >>> ranking = Ranking(np.array([0.9, 0.9, 0.1]), np.array([1, 0, 1]), np.array([0, 1, 0]), np.arange(3))
            >>> ranking.average_precision(np.ones(3)) == ranking.counts(np.ones(3)).average_precision
            True
        """
        w = weight.astype(self.positive.dtype)[self.recording]
        gained = w[self.at] * self.positive[self.at]
        true_positive = gained.cumsum()
        if not len(gained) or true_positive[-1] == 0:
            return float("nan")
        above = (w * self.frames).cumsum()[self.end]
        return float((gained * true_positive[self.tie_end] / np.maximum(above, 1)).sum() / true_positive[-1])
