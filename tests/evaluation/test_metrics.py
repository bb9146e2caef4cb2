"""Metrics against their plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from mmcl.evaluation.metrics import Ranking, accuracy, average_precision, macro_f1, roc_auc, trapezoid_pr_auc


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_areas_are_scikit_learns(rng, decimals):
    """With many ties, few and none; of float32 scores too."""
    for n in (2, 3, 50, 1000):
        score = rng.random(n).round(decimals).astype(np.float32)
        truth = rng.random(n) < 0.3
        truth[:2] = True, False
        assert average_precision(truth, score) == pytest.approx(average_precision_score(truth, score))
        assert roc_auc(truth, score) == pytest.approx(roc_auc_score(truth, score))
        precision, recall, _ = precision_recall_curve(truth, score)
        assert trapezoid_pr_auc(truth, score) == pytest.approx(np.trapezoid(precision[::-1], recall[::-1]))


def test_areas_of_nothing_and_of_no_numbers():
    nothing = np.array([])
    assert np.isnan([f(nothing.astype(bool), nothing) for f in (average_precision, roc_auc, trapezoid_pr_auc)]).all()
    assert np.isnan([roc_auc(np.full(3, y), np.arange(3.0)) for y in (False, True)]).all()
    for f in (average_precision, roc_auc, trapezoid_pr_auc):
        with pytest.raises(ValueError, match="expected finite numbers, got 1 that are not"):
            f(np.array([True, False]), np.array([np.nan, 0.5]))


def test_metrics_equal_plain_definitions(rng):
    truth, score = rng.random(200) < 0.2, rng.random(200)
    order = np.argsort(-score)
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, 201)
    assert average_precision(truth, score) == pytest.approx((precision * hits).sum() / hits.sum())
    pairs = (score[truth][:, None] > score[~truth][None, :]).mean()
    assert roc_auc(truth, score) == pytest.approx(pairs)
    assert abs(trapezoid_pr_auc(truth, score) - average_precision(truth, score)) < 0.05
    assert np.isnan(average_precision(np.zeros(3, bool), np.ones(3)))
    assert accuracy(np.array([0, 1, 1]), np.array([0, 1, 0])) == pytest.approx(2 / 3)
    assert macro_f1(np.array([0, 1, 1]), np.array([0, 1, 0])) == pytest.approx((2 / 3 + 2 / 3) / 2)


@pytest.mark.parametrize("seed", range(8))
def test_the_fast_average_precision_of_a_resampling(seed):
    """With ties, recordings that count never or twice, and no positive at all."""
    rng = np.random.default_rng(seed)
    n = 300
    score = rng.integers(0, 20, n) / 20 if seed % 2 else rng.random(n)
    positive = rng.integers(0, 17, n) * (rng.random(n) < (0.0 if seed == 7 else 0.3))
    ranking = Ranking(score, positive, 16 - positive, rng.integers(0, 12, n))
    for _ in range(20):
        weight = np.bincount(rng.integers(12, size=12), minlength=12)
        expected = ranking.counts(weight).average_precision
        assert ranking.average_precision(weight) == pytest.approx(expected, nan_ok=True)
