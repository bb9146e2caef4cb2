"""Metrics of events, which users act on: are the stretches right, and how many false alarms does finding them cost?

Events and truth lie on the grid of snippets: a true event is a run of true snippets, a predicted one a run of
high scores. Both are counted over all recordings together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmcl.evaluation.events import EventRule, runs

IOUS = (0.1, 0.3, 0.5)
RECALLS = (0.5, 0.8)


def event_metrics(
    score: np.ndarray, truth: np.ndarray, n_snippets: Sequence[int], hop_s: float, rule: EventRule | None = None
) -> dict[str, float]:
    """F1 of events at several overlaps, and false alarms an hour at several recalls.

    F1: events by the rule's thresholds (those of ``mmcl score`` by default). In order of time each one is right if its
    temporal intersection over union (IoU) with the true event that it overlaps most reaches the limit, and no earlier
    one took that event. False alarms an hour: at the highest threshold at which the share of true events that hold a
    score as high reaches the recall, runs of scores from that threshold on that overlap no true event.

    Args:
        score: ``(snippet of all recordings,)`` in [0, 1]; without F1 where some score is outside.
        truth: ``(snippet of all recordings,)`` bool.
        n_snippets: ``(recording,)``, how many of them each recording has, in order.
        hop_s: Seconds from one snippet to the next.
        rule: How scores become events.

    Returns:
        Metrics by name, NaN without true events.

    Reference:
        Lea et al., CVPR 2017 (segmental F1 at k).

    Example:
        >>> truth = np.array([0, 1, 1, 0, 0, 0], bool)
        >>> metrics = event_metrics(np.array([0.1, 0.9, 0.8, 0.1, 0.7, 0.1]), truth, [6], 600.0)
        >>> metrics["event F1 at IoU 0.5"], metrics["false alarms an hour at recall 0.8"]
        (0.6666666666666666, 0.0)
    """
    rule = rule or EventRule()
    score, truth = _apart(score, n_snippets), _apart(truth.astype(bool), n_snippets)
    true_events = runs(truth)
    metrics = {}
    if not len(score) or (np.nanmin(score) >= 0 and np.nanmax(score) <= 1):
        predicted = _by_rule(score, rule, hop_s)
        for iou in IOUS:
            metrics[f"event F1 at IoU {iou:g}"] = _f1(predicted, true_events, iou)
    hours = sum(n_snippets) * hop_s / 3600
    highest = np.array([score[a:b].max() for a, b in true_events])
    for recall in RECALLS:
        value = math.nan
        if len(highest):
            threshold = np.sort(highest)[::-1][math.ceil(recall * len(highest) - 1e-9) - 1]
            value = _n_false_alarms(score, truth, threshold) / hours
        metrics[f"false alarms an hour at recall {recall:g}"] = value
    return metrics


def _apart(x: np.ndarray, n_snippets: Sequence[int]) -> np.ndarray:
    """With one place between recordings that no run crosses: False of truth, NaN of scores."""
    ends = np.cumsum(n_snippets)
    return np.insert(x, ends, False if x.dtype == bool else np.nan)


def _by_rule(score: np.ndarray, rule: EventRule, hop_s: float) -> np.ndarray:
    """``(event, 2)``: runs from the lower threshold on that reach the upper one and last long enough."""
    candidates = runs(score >= rule.low)
    kept = [(a, b) for a, b in candidates if score[a:b].max() >= rule.high and (b - a) * hop_s >= rule.min_s - 1e-9]
    return np.array(kept, int).reshape(-1, 2)


def _f1(predicted: np.ndarray, true_events: np.ndarray, iou: float) -> float:
    if not len(true_events):
        return math.nan
    taken = np.zeros(len(true_events), bool)
    n_right = 0
    first = np.searchsorted(true_events[:, 1], predicted[:, 0], "right")
    past = np.searchsorted(true_events[:, 0], predicted[:, 1], "left")
    for (a, b), i, j in zip(predicted, first, past, strict=True):
        if i >= j:
            continue
        starts, ends = true_events[i:j].T
        both = np.minimum(ends, b) - np.maximum(starts, a)
        overlap = both / ((ends - starts) + (b - a) - both)
        best = int(overlap.argmax())
        if overlap[best] >= iou - 1e-12 and not taken[i + best]:
            taken[i + best] = True
            n_right += 1
    return 2 * n_right / (len(predicted) + len(true_events))


def _n_false_alarms(score: np.ndarray, truth: np.ndarray, threshold: float) -> int:
    """Runs of scores from the threshold on without any true snippet."""
    counted = np.concatenate([[0], np.cumsum(truth)])
    alarms = runs(score >= threshold)
    return int((counted[alarms[:, 1]] == counted[alarms[:, 0]]).sum())
