"""Calibration against a loop over bins, and what must not change it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmcl.evaluation.calibration import calibration, calibration_error
from mmcl.evaluation.detection import detection_metrics
from mmcl.evaluation.frame_level import FrameTruth, frame_metrics
from mmcl.evaluation.recognition import recognition_metrics
from mmcl.types import Interval, Recording, SnippetGrid, SnippetScores


def slow_error(label, score, n_bins=10) -> float:
    """Scores apart: ten slices of the order."""
    order = sorted(range(len(score)), key=lambda i: score[i])
    error = 0.0
    for k in range(n_bins):
        of_bin = [i for rank, i in enumerate(order) if int((rank + 0.5) * n_bins / len(order)) == k]
        if of_bin:
            distance = abs(sum(score[i] for i in of_bin) - sum(label[i] for i in of_bin)) / len(of_bin)
            error += distance * len(of_bin) / len(order)
    return error


@pytest.mark.parametrize("n", [1, 7, 10, 95, 1000])
def test_equals_a_loop_over_bins(n):
    rng = np.random.default_rng(n)
    label, score = rng.integers(0, 2, n).astype(float), rng.permutation(n) / n
    assert calibration_error(label, score) == pytest.approx(slow_error(label, score))


def test_scores_that_are_probabilities():
    rng = np.random.default_rng(0)
    score = rng.random(20_000)
    label = (rng.random(20_000) < score).astype(float)
    mean, share, error = calibration(label, score)
    assert error < 0.02
    np.testing.assert_allclose(mean, share, atol=0.04)
    assert calibration(label, np.clip(score * 0.5, 0, 1))[2] > 0.2


def test_order_and_equal_scores_mean_nothing():
    """A constant score is as far from the share of the class whatever comes first."""
    label = np.repeat([0.0, 1.0], [80, 20])
    assert calibration_error(label, np.full(100, 0.5)) == pytest.approx(0.3)
    rng = np.random.default_rng(1)
    score = np.round(rng.random(100), 1)
    order = rng.permutation(100)
    assert calibration_error(label[order], score[order]) == pytest.approx(calibration_error(label, score))


def test_undefined():
    assert math.isnan(calibration_error(np.array([]), np.array([])))
    assert math.isnan(calibration_error(np.array([0, 1]), np.array([0.0, 1.5])))


def scored(values, *, bag, classes=("event",)):
    x = np.arange(float(len(values)))
    return SnippetScores("r", x, x + 1, np.asarray(values, float), {}, np.asarray(bag, float), {}, classes)


def test_in_the_metrics_of_each_task():
    signal = {"inertial": np.zeros((2, 1), np.float32)}
    shows, empty = (
        Recording("a", signal, {"inertial": 1.0}, np.array([1.0]), intervals=(Interval(0.0, 1.0, "event"),)),
        Recording("b", signal, {"inertial": 1.0}, np.array([0.0])),
    )
    scores = [scored([[0.9], [0.1]], bag=[0.9]), scored([[0.2], [0.4]], bag=[0.4])]
    metrics = detection_metrics([shows, empty], scores, SnippetGrid(1.0, 1.0, {"inertial": 1}))
    assert metrics["snippet calibration error"] == pytest.approx((0.1 + 0.1 + 0.2 + 0.4) / 4)
    assert metrics["bag calibration error"] == pytest.approx((0.1 + 0.4) / 2)
    both = [scored([[0.7, 0.3]], bag=[0.7, 0.3], classes=("x", "y")), scored([[0.6, 0.4]], bag=[0.6, 0.4])]
    of_classes = [Recording(n, signal, {"inertial": 1.0}, y) for n, y in (("a", np.eye(2)[0]), ("b", np.eye(2)[1]))]
    assert recognition_metrics(of_classes, both)["calibration error"] == pytest.approx((0.3 + 0.6) / 2)
    truth = FrameTruth(("a",), np.array([2]), np.array([4, 16]), (("B1",),))
    frames = frame_metrics(np.array([0.5, 0.8]), truth, {"B1": "fighting"}, 0)
    assert frames["frame calibration error"] == pytest.approx((0.25 + 0.2) / 2)
