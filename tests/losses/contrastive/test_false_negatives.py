"""False negatives: found, removed, and turned into positives."""

from __future__ import annotations

import math

import pytest
import reference
import torch

from mmcl.errors import InputError
from mmcl.losses import contrastive_loss, same_by_clusters, same_by_neighbours
from mmcl.losses.contrastive.false_negatives import log_weight, pseudo_positive_target


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_weights_and_targets_equal_loop():
    """Soft negatives, one removed altogether, and a part of the attraction given to others."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(5, 4, seed=2)
    same = torch.rand(3, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    same[1, 2] = 1.0
    weight, target = log_weight(same), pseudo_positive_target(same, 0.3)
    got = contrastive_loss(q, p, n, temperature=0.4, log_weight=weight, target=target)
    for i in range(3):
        e = [math.exp(reference.cosine(q[i], x) / 0.4) for x in n]
        ng = sum((1 - same[i, j].item()) * e[j] for j in range(5))

        def term(x, ng=ng):
            return -math.log(x / (x + ng))

        want = 0.7 * term(math.exp(reference.cosine(q[i], p[i]) / 0.4))
        want += sum(0.3 * (same[i, j] / same[i].sum()).item() * term(e[j]) for j in range(5))
        assert got[i].item() == pytest.approx(want, abs=1e-5)  # log(1 - same) stays off 0 by 1e-6
    blocks = contrastive_loss(q, p, n, temperature=0.4, beta=1.0, log_weight=weight, target=target, max_pairs=5)
    unblocked = contrastive_loss(q, p, n, temperature=0.4, beta=1.0, log_weight=weight, target=target)
    torch.testing.assert_close(blocks, unblocked)


def test_a_removed_negative_is_as_if_it_were_not_there():
    """Also for concentration, which must not look at it."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(5, 4, seed=2)
    weight = torch.zeros(3, 5, dtype=torch.float64)
    weight[:, 4] = -torch.inf
    for beta, tau in ((0.0, 0.0), (2.0, 0.1)):
        got = contrastive_loss(q, p, n, temperature=0.2, beta=beta, tau_plus=tau, log_weight=weight)
        torch.testing.assert_close(got, contrastive_loss(q, p, n[:4], temperature=0.2, beta=beta, tau_plus=tau))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("tau", [0.0, 0.1])
def test_a_surely_false_negative_counts_like_a_removed_one(beta, tau):
    """No jump at certainty, for the hardest of them too, which concentration would otherwise look at alone."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(5, 4, seed=2)
    n[4] = q[0]
    gone, nearly = torch.zeros(3, 5, dtype=torch.float64), torch.zeros(3, 5, dtype=torch.float64)
    gone[:, 4], nearly[:, 4] = -torch.inf, math.log(1e-9)

    def at(weight):
        return contrastive_loss(q, p, n, temperature=0.5, beta=beta, tau_plus=tau, log_weight=weight)

    torch.testing.assert_close(at(nearly), at(gone), atol=1e-5, rtol=1e-5)


def test_equal_weights_change_nothing_but_the_number():
    """Half a weight each: concentration and prior see half as many negatives, none nearer than another."""
    q, p, n = draw(3, 4), draw(3, 4, seed=1), draw(4, 4, seed=2)
    half = torch.full((3, 8), math.log(0.5), dtype=torch.float64)
    twice = torch.cat([n, n])
    for beta, tau in ((0.0, 0.05), (1.0, 0.0), (1.0, 0.05)):
        got = contrastive_loss(q, p, twice, temperature=0.5, beta=beta, tau_plus=tau, log_weight=half)
        torch.testing.assert_close(got, contrastive_loss(q, p, n, temperature=0.5, beta=beta, tau_plus=tau))


def test_anchors_without_false_negatives_keep_their_attraction():
    target = pseudo_positive_target(torch.tensor([[0.0, 0.0], [0.5, 0.5]]), 0.4)
    torch.testing.assert_close(target, torch.tensor([[0.0, 0.0], [0.2, 0.2]]))


def test_clusters_find_what_belongs_together():
    centre = draw(4, 16)
    z = torch.cat([c + 0.05 * draw(10, 16, seed=i) for i, c in enumerate(centre)])
    truth = torch.arange(4).repeat_interleave(10)
    g = torch.Generator().manual_seed(0)
    same = same_by_clusters(z, 4, 16, generator=g)
    assert same.shape == (40, 40)
    torch.testing.assert_close(same, same.T)
    assert (same.diagonal() == 1).all()
    together = truth[:, None] == truth[None, :]
    assert same[together].mean() > 0.8 > 0.4 > same[~together].mean()
    assert (same_by_clusters(z, 40, 3, generator=g) > 0.99).sum() == 40  # each its own
    assert (same_by_clusters(z, 1, 2, generator=g) == 1).all()
    with pytest.raises(InputError, match="n_clusters: expected 1 to the 40 rows, got 41"):
        same_by_clusters(z, 41)


def test_mutual_neighbours_equal_loop():
    z = draw(9, 3)
    got = same_by_neighbours(z, 2)
    near = []
    for i in range(9):
        order = sorted((j for j in range(9) if j != i), key=lambda j: -reference.cosine(z[i], z[j]).item())
        near.append(set(order[:2]))
    for i in range(9):
        for j in range(9):
            assert got[i, j] == (i == j or (j in near[i] and i in near[j]))
