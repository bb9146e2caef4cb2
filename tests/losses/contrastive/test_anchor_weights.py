"""Weights of anchors against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import math

import pytest
import torch
from contrast_batch import K, N, close, contrast_batch, cos, draw, negatives_of

from mmcl.losses.contrastive.anchor_weights.bad_pairs import BadPairs
from mmcl.losses.contrastive.anchor_weights.similarity_schedule import SimilaritySchedule
from mmcl.losses.contrastive.context import ContrastBatch, PairMetadata

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def test_bad_pairs_by_their_history():
    part = BadPairs(20, warm_up=0.5, low=1.0, high=1.5)
    p = contrast_batch(weighted=False)
    index = torch.arange(N)
    p = ContrastBatch(**{**vars(p), "metadata": PairMetadata(index=index), "mask": torch.ones(N, K, dtype=torch.bool)})
    history: dict[int, list[tuple[float, float]]] = {i: [] for i in range(N)}
    for progress in (0.2, 0.4, 0.9):
        losses = draw(N, seed=int(10 * progress)).abs() + torch.tensor([0, 0, 0, 0, 0, 6.0])
        got = part(ContrastBatch(**{**vars(p), "progress": progress}), losses)
        for i in range(N):
            history[i].append((progress + 1e-3, float(losses[i])))
        if progress < 0.5:
            close(got, torch.ones(N))
    mean = {i: sum(w * x for w, x in h) / sum(w for w, _ in h) for i, h in history.items()}
    mu = sum(mean.values()) / N
    sd = math.sqrt(sum((m - mu) ** 2 for m in mean.values()) / N)
    want = [
        math.exp(-((mean[i] - mu) ** 2) / (2 * sd * sd)) if mean[i] <= mu - sd or mean[i] >= mu + 1.5 * sd else 1.0
        for i in range(N)
    ]
    assert min(want) < 0.5
    close(got, want, 1e-5)


@pytest.mark.parametrize("shape", ["linear", "top", "bell"])
def test_similarity_schedule(shape):
    p = contrast_batch()
    got = SimilaritySchedule(shape)(p, torch.ones(N, dtype=torch.float64))
    h = {
        "linear": lambda x: x,
        "top": lambda x: math.sqrt(1 - (x - 1) ** 2),
        "bell": lambda x: math.exp(-((4 * (x - 0.5)) ** 2) / 2),
    }[shape]
    w = [0.25 + 0.75 * h(min(max(cos(p.query[i], p.positive[i]), 0.0), 1.0)) for i in range(N)]
    counted = [i for i in range(N) if negatives_of(p, i)]
    mean = sum(w[i] for i in counted) / len(counted)
    close(got, [x / mean for x in w])
    at_first = SimilaritySchedule(shape)(ContrastBatch(**{**vars(p), "progress": 0.0}), got)
    close(at_first, torch.ones(N))
