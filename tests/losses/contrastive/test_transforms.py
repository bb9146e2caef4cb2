"""Transforms against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import pytest
import torch
from contrast_batch import D, K, N, close, contrast_batch, cos, draw

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.transforms.extrapolate import Extrapolate
from mmcl.losses.contrastive.transforms.group_whitening import GroupWhitening
from mmcl.losses.contrastive.transforms.learned_view import LearnedView
from mmcl.losses.contrastive.transforms.mix_negatives import MixNegatives
from mmcl.losses.contrastive.transforms.neighbour_positive import NeighbourPositive
from mmcl.types import l2_normalize

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def test_extrapolated_pairs_are_harder():
    p = contrast_batch()
    torch.manual_seed(0)
    part = 1 + float(torch.distributions.Beta(torch.tensor(2.0), torch.tensor(2.0)).sample((1,)))
    torch.manual_seed(0)
    output = Extrapolate(2.0)(p)
    inner = (output.query * output.positive).sum(-1)
    cosine = (p.query * p.positive).sum(-1)
    close(inner, 2 * part * (1 - part) + (2 * part**2 - 2 * part + 1) * cosine, 1e-6)
    assert (inner < cosine).all()


def test_mixed_negatives_lie_between_two_that_are():
    p = contrast_batch()
    torch.manual_seed(0)
    output = MixNegatives()(p)
    assert output.negatives.shape == (2 * K, D)
    assert output.mask.shape == (N, 2 * K)
    close(output.negatives[:K], p.negatives)
    for j in range(K):
        fits = []
        for other in range(K):
            a, b = p.negatives[j], p.negatives[other]
            if other == j:
                share, off = 1.0, (output.negatives[K + j] - a).abs().max()
            else:
                share = float(((output.negatives[K + j] - b) @ (a - b)) / ((a - b) @ (a - b)))
                off = (share * a + (1 - share) * b - output.negatives[K + j]).abs().max()
            fits.append(float(off) < 1e-6 and -1e-6 <= share <= 1 + 1e-6 and all(
                bool(output.mask[i, K + j]) == bool(p.mask[i, j] and p.mask[i, other]) for i in range(N)
            ))  # fmt: skip
        assert any(fits)


def test_whitened_groups_have_the_identity_as_covariance():
    n = 40
    x = l2_normalize(draw(n, D, seed=3) @ draw(D, D, seed=4))
    p = contrast_batch(n, n)
    p = ContrastBatch(**{**vars(p), "query": x, "positive": x.flip(0), "negatives": x})
    part = GroupWhitening(n_groups=2, eps=1e-9)
    order, undo = part._order(x)
    white = part._whiten(x, x, torch.ones(n, dtype=torch.bool), order, undo)
    groups = white[:, order].unflatten(1, (2, D // 2)).transpose(0, 1)
    covariance = groups.transpose(1, 2) @ groups / n
    close(covariance, torch.eye(D // 2, dtype=torch.float64).expand(2, -1, -1), 1e-5)
    close(part(p).query.norm(dim=1), torch.ones(n))


def test_neighbour_positive():
    torch.manual_seed(0)
    part = NeighbourPositive(D, n=3, dropout=0.0).double()
    p = contrast_batch()
    got = part(p).positive
    for i in range(N):
        near = sorted(range(K), key=lambda j: -cos(p.positive_metadata.auxiliary[i], p.negative_metadata.auxiliary[j]))[
            :3
        ]
        candidates = [p.positive[i], *(p.negatives[j] for j in near)]
        e = [part.map(c) for c in candidates]
        score = torch.stack([part.ask(torch.cat([e[0], x]))[0] for x in e])
        share = torch.where(score > 0, score, 0.01 * score).softmax(0)
        mixed = sum(s * c for s, c in zip(share, candidates, strict=True))
        close(got[i], mixed / mixed.norm())
    assert part.eval()(p) is p


def test_learned_view_moves_a_little_and_only_in_training():
    torch.manual_seed(0)
    part = LearnedView(D).double()
    p = contrast_batch()
    output = part(p)
    assert not torch.equal(output.query, p.query)
    close(output.query.norm(dim=1), torch.ones(N))
    assert ((output.query * p.query).sum(-1) > 0.9).all()
    assert part.eval()(p) is p
