"""The pooled linear model against scikit-learn, when scores are smoothed, and which modality is no candidate."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mmcl.config import ModelConfig, SnippetsConfig
from mmcl.data.snippet_features import snippet_features
from mmcl.data.snippet_grid import create_grid
from mmcl.inference.choose_modalities import choose_modalities
from mmcl.inference.linear_baseline import C, fit_linear_baseline
from mmcl.inference.pooled_baseline import fit_pooled_baseline
from mmcl.models.build import create_model
from mmcl.training.baseline import choose_smoothing, describe_choice, set_linear_path
from mmcl.types import Bags, InputSpec, Recording

GRID = create_grid(SnippetsConfig(hop_s=1.0, window_s=1.0), {"visual": "features"})


def bags(n=50, seed=0) -> list[Recording]:
    rng = np.random.default_rng(seed)
    recordings = []
    for i in range(n):
        x = rng.standard_normal((int(rng.integers(3, 9)), 5)).astype(np.float32)
        x[:, 0] *= 1 + i % 2  # only the spread tells
        recordings.append(Recording(f"r{i}", {"visual": x}, {"visual": 1.0}, np.array([i % 2], np.float32)))
    return recordings


def test_the_pooled_model_is_scikit_learns_on_mean_and_spread():
    data, new = bags(), bags(seed=1)
    pooled = np.array([[*r.signal["visual"].mean(0), *r.signal["visual"].std(0)] for r in (*data, *new)])
    mean, std = pooled[: len(data)].mean(0), pooled[: len(data)].std(0)
    z = ((pooled - mean) / std).clip(-5, 5) / 10**0.5
    theirs = LogisticRegression(C=C, max_iter=300).fit(z[: len(data)], [r.label[0] for r in data])
    ours = fit_pooled_baseline(data, GRID).predict(new)
    np.testing.assert_allclose(ours[:, 0], theirs.predict_proba(z[len(data) :])[:, 1], atol=2e-3)
    blocks = fit_pooled_baseline(data, GRID, {"visual": (4, 1)})  # a block of one channel counts as one of four
    assert blocks.model.scale["visual"][4] == pytest.approx(2 * blocks.model.scale["visual"][0])


@pytest.mark.parametrize(("gain", "min_gain", "expected"), [(0.06, 0.05, True), (0.04, 0.05, False), (0.0, 0.0, False)])
def test_smoothing_is_taken_for_a_gain_on_validation(gain, min_gain, expected):
    """And the network that begins with the baseline then has its scores, smoothed or not."""
    data = bags()
    baseline = fit_linear_baseline(data, GRID, ("event",))
    dataset = SimpleNamespace(evaluate=lambda recordings, scores, grid: {"AP": 0.5 + gain})
    plain = {"validation linear baseline AP": 0.5}
    splits = SimpleNamespace(validation=data, dataset=dataset)
    config = ModelConfig(dim=8, linear_path=True, smoothed="probabilities", score_smoothing=3, n_layers=0)
    smooths, line = choose_smoothing(baseline, splits, config, plain, "AP", min_gain)
    assert smooths is expected
    assert f"{gain:+.3f} on validation" in line
    network = create_model(config, GRID, 1, {"visual": InputSpec("features", (5,))}).eval()
    set_linear_path(network, baseline, smooths)
    for recording in data[:5]:
        x = torch.from_numpy(recording.signal["visual"])[None]
        batch = Bags({"visual": x}, torch.ones(1, x.shape[1], dtype=torch.bool), torch.zeros(1, 1), torch.arange(1))
        got = network(batch).joint_logit[0].sigmoid().detach().numpy()
        p = 1 / (1 + np.exp(-baseline.joint.logits(snippet_features(recording, GRID))))
        if smooths:
            kernel = np.array([1, 2, 1.0])
            weight = np.convolve(np.ones(len(p)), kernel, "same")
            p = np.convolve(p[:, 0], kernel, "same")[:, None] / weight[:, None]
        np.testing.assert_allclose(got, p, atol=1e-4)
    other = ModelConfig(linear_path=True)
    assert choose_smoothing(baseline, splits, other, plain, "AP", 0.05) == (True, "")


def test_a_modality_of_one_class_alone_is_no_candidate_for_the_joint_score():
    """Sound of positives alone: its lack would tell everything, its content nothing."""
    rng = np.random.default_rng(0)
    grid = create_grid(SnippetsConfig(hop_s=1.0, window_s=1.0), {"visual": "features", "audio": "features"})
    data = []
    for r in bags():
        sound = {"audio": rng.standard_normal((len(r.signal["visual"]), 3)).astype(np.float32)} if r.label[0] else {}
        data.append(Recording(r.name, {**r.signal, **sound}, dict.fromkeys((*r.signal, *sound), 1.0), r.label))
    baseline = fit_linear_baseline(data, grid, ("event",))
    assert choose_modalities(baseline, [(baseline, data)]).joint_of == "visual"


def test_the_choice_is_told():
    metrics = {"validation AP": 0.66, "validation linear baseline AP": 0.58, "selected epoch": 0}
    assert describe_choice(metrics, "AP").endswith("the run is the linear baseline, its scores smoothed")
    assert describe_choice({**metrics, "validation AP": 0.5801}, "AP").endswith("the run is the linear baseline")
    assert describe_choice({**metrics, "validation AP": 0.5}, "AP").endswith("the linear baseline is better")
