"""Clusters of snippets against loops."""

from __future__ import annotations

import pytest
import reference
import torch
from score_bags import LENGTHS, bags

from mmcl.losses.semibags import cluster


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("clustering", ["topk", "2-means", "3-means"])
def test_clusters_equal_loop(lengths, clustering):
    _, mask, _, score = bags(lengths, seed=3)
    high, low = cluster(score["a"], mask, clustering, 4)
    for b, n in enumerate(lengths):
        want = (
            reference.split_topk(score["a"][b], n, 4)
            if clustering == "topk"
            else reference.split_means(score["a"][b], n, int(clustering[0]), 0.1)
        )
        for selection, expected in zip((high, low), want, strict=True):
            assert sorted(selection.idx[b][selection.mask[b]].tolist()) == sorted(expected)


def test_adaptive_clustering_is_sensible():
    short = torch.full((1, 40), 0.1).index_fill(1, torch.tensor([7]), 0.9)
    uniform = 0.9 + 0.02 * torch.rand(1, 40)
    quiet = 0.1 + 0.02 * torch.rand(1, 40)
    mask = torch.ones(1, 40, dtype=torch.bool)
    counts = [[p.count.item() for p in cluster(s, mask, "2-means")] for s in (short, uniform, quiet)]
    assert counts == [[1, 39], [40, 0], [1, 39]]
