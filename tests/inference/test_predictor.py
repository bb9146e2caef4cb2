"""Chunks and batches change no score."""

from __future__ import annotations

import numpy as np
import torch
from support import network_of, read_utd_mhad, recipe

from mmcl.config import override
from mmcl.inference import load_predictor
from mmcl.inference.predictor import CHUNK
from mmcl.types import Recording


def test_chunks_give_the_scores_of_the_whole(trained, rng):
    predictor = load_predictor(trained, "cpu")
    n_s = CHUNK  # at 2 snippets a second: twice the chunk
    signal = {
        "inertial": rng.standard_normal((50 * n_s, 6)).astype(np.float32),
        "skeleton": rng.standard_normal((25 * n_s, 20, 3)).astype(np.float32),
    }
    recording = Recording("long", signal, {"inertial": 50.0, "skeleton": 25.0})
    (chunked,) = predictor.predict([recording])
    predictor.network.context = None  # whole at once
    (uncut,) = predictor.predict([recording])
    assert len(uncut.score) == 2 * n_s - 1
    np.testing.assert_allclose(chunked.score, uncut.score, atol=1e-5)
    for m in uncut.modality_score:
        np.testing.assert_allclose(chunked.modality_score[m], uncut.modality_score[m], atol=1e-5)


def test_scores_do_not_depend_on_what_is_scored_beside(trained, dataset_dir):
    predictor = load_predictor(trained, "cpu")
    recordings = read_utd_mhad(dataset_dir)[:5]
    together = list(predictor.predict(recordings))
    for one, r in zip(together, recordings, strict=True):
        (alone,) = predictor.predict([r])
        np.testing.assert_allclose(alone.score, one.score, atol=1e-6)


def test_context_of_the_network():
    for window in (0, 3):
        config = override(recipe("utd-mhad-streams"), {"model.attention_window": window, "model.dim": 8})
        assert network_of(config).context >= 2 * window + config.model.score_smoothing // 2
    assert torch.is_grad_enabled()
