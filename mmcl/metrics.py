"""Figures of merit, each named for what it computes."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve, step-wise. truth ``(n,)`` bool, score ``(n,)``.

    NaN when nothing is true.
    """
    return float(average_precision_score(truth, score)) if truth.any() else float("nan")


def trapezoid_pr_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve by trapezoids, as MACIL-SD computes "AP".

    Optimistic on scores with few distinct values; give it beside ``average_precision``.
    """
    if not truth.any():
        return float("nan")
    precision, recall, _ = precision_recall_curve(truth, score)
    return float(np.trapezoid(precision[::-1], recall[::-1]))


def roc_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN when only one kind of truth occurs."""
    return float(roc_auc_score(truth, score)) if 0 < truth.sum() < len(truth) else float("nan")


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of bags whose class is right. Both ``(bag,)`` int."""
    return float(np.mean(truth == predicted))


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """F1 of each class, averaged over the classes that occur in the truth."""
    return float(f1_score(truth, predicted, average="macro", labels=np.unique(truth), zero_division=0))
