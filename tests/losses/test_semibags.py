"""Clusters of snippets against loops."""

from __future__ import annotations

import pytest
import reference
import torch
from score_bags import LENGTHS, bags

from mmcl.errors import InputError
from mmcl.losses.contrastive.semibag import semibag_contrast
from mmcl.losses.semibags import cluster, semi_bags


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


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(3, 1, dtype=torch.bool), torch.ones(2, dtype=torch.bool)])
def test_what_says_which_bags_hold_an_event_is_a_bool_a_bag(wrong):
    score, mask = {"audio": torch.rand(3, 8)}, torch.ones(3, 8, dtype=torch.bool)
    with pytest.raises(InputError, match=r"is_event: expected \(3,\) of torch.bool"):
        semi_bags(score, mask, wrong)
    parts = semi_bags(score, mask, torch.tensor([True, False, True]))
    with pytest.raises(InputError, match="against: expected some of background, normal, other, got 'backgroud'"):
        semibag_contrast({"audio": torch.randn(3, 8, 4)}, parts, against=("backgroud",))
