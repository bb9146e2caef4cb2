"""Metrics of events against plain loops over thresholds, snippets and pairs of events."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmcl.evaluation.event_level import IOUS, RECALLS, event_metrics
from mmcl.evaluation.events import EventRule


def stretches(values) -> list[set[int]]:
    """Sets of neighbouring places that are True."""
    events: list[set[int]] = []
    for i, value in enumerate(values):
        if value:
            if i and values[i - 1]:
                events[-1].add(i)
            else:
                events.append({i})
    return events


def slow_metrics(curves, truths, hop_s, rule) -> dict[str, float]:
    """Recording by recording, every threshold tried."""
    n_true = sum(len(stretches(t)) for t in truths)
    metrics = {}
    for iou in IOUS:
        right = n_predicted = 0
        for curve, truth in zip(curves, truths, strict=True):
            left = stretches(truth)
            taken: list[set[int]] = []
            for event in stretches([s >= rule.low for s in curve]):
                if max(curve[i] for i in event) < rule.high or len(event) * hop_s < rule.min_s - 1e-9:
                    continue
                n_predicted += 1
                overlaps = [len(event & other) / len(event | other) for other in left]
                best = max(range(len(left)), key=lambda k: overlaps[k], default=None)
                if best is not None and overlaps[best] >= iou and left[best] not in taken:
                    taken.append(left[best])
                    right += 1
        metrics[f"event F1 at IoU {iou:g}"] = 2 * right / (n_predicted + n_true) if n_true else math.nan
    hours = sum(len(c) for c in curves) * hop_s / 3600
    for recall in RECALLS:
        value = math.nan
        for threshold in sorted({float(s) for c in curves for s in c}, reverse=True) if n_true else []:
            hits, alarms = 0, 0
            for curve, truth in zip(curves, truths, strict=True):
                hits += sum(any(curve[i] >= threshold for i in event) for event in stretches(truth))
                alarms += sum(not any(truth[i] for i in e) for e in stretches([s >= threshold for s in curve]))
            if hits / n_true >= recall - 1e-9:
                value = alarms / hours
                break
        metrics[f"false alarms an hour at recall {recall:g}"] = value
    return metrics


@pytest.mark.parametrize("seed", range(30))
def test_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    curves, truths = [], []
    for _ in range(rng.integers(1, 8)):
        n = int(rng.integers(3, 40))
        levels = rng.random(n) if seed % 2 else rng.integers(0, 5, n) / 4  # with many ties
        curves.append(np.convolve(levels, [0.25, 0.5, 0.25], "same") if seed % 3 else levels)
        truths.append(np.convolve(rng.random(n) < 0.1, [1, 1, 1], "same") > 0)
    rule = EventRule(0.6, 0.4, 0.9) if seed % 5 else EventRule()
    lengths = [len(c) for c in curves]
    ours = event_metrics(np.concatenate(curves), np.concatenate(truths), lengths, 0.5, rule)
    assert ours == pytest.approx(slow_metrics(curves, truths, 0.5, rule), nan_ok=True)


def test_perfect_and_silent_scores():
    truth = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)  # the second and the third event are of two recordings
    perfect = event_metrics(truth.astype(float), truth, [5, 3], 60.0)
    assert [perfect[f"event F1 at IoU {iou:g}"] for iou in IOUS] == [1.0, 1.0, 1.0]
    assert perfect["false alarms an hour at recall 0.8"] == 0
    silent = event_metrics(np.zeros(8), truth, [5, 3], 60.0)
    assert silent["event F1 at IoU 0.1"] == 0
    assert silent["false alarms an hour at recall 0.5"] == 0  # everything is one event a recording, each with truth


def test_no_run_crosses_recordings():
    score = np.array([0.0, 0.9, 0.9, 0.0])
    metrics = event_metrics(score, np.array([0, 1, 0, 0], bool), [2, 2], 900.0)
    assert metrics["event F1 at IoU 0.5"] == pytest.approx(2 / 3)
    assert metrics["false alarms an hour at recall 0.5"] == 1.0


def test_without_events_and_outside_of_0_to_1():
    nothing = event_metrics(np.array([0.9, 0.1]), np.zeros(2, bool), [2], 1.0)
    assert all(math.isnan(v) for v in nothing.values())
    logits = event_metrics(np.array([3.0, -2.0]), np.array([1, 0], bool), [2], 1.0)
    assert not any("F1" in name for name in logits)
    assert logits["false alarms an hour at recall 0.5"] == 0
