"""Losses of an anchor against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from contrast_batch import D, K, N, T, close, contrast_batch, cos, draw, negatives_of

from mmcl.losses.contrastive.objective import ContrastiveObjective
from mmcl.losses.contrastive.pair_losses.adversarial import Adversarial
from mmcl.losses.contrastive.pair_losses.cacr import CACR
from mmcl.losses.contrastive.pair_losses.cluster_proxy import ClusterProxy
from mmcl.losses.contrastive.pair_losses.dcl import DCL
from mmcl.losses.contrastive.pair_losses.groco import GroCo
from mmcl.losses.contrastive.pair_losses.ordinal_mix import OrdinalMix
from mmcl.losses.contrastive.pair_losses.ranker import Ranker
from mmcl.types import l2_normalize

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def test_info_nce_without_components_is_the_formula():
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    got = ContrastiveObjective(T)(query, positive, key).anchor_loss
    close(got, [reference.anchor_loss(query[i], positive[i], list(key), T) for i in range(N)])


def test_dcl_leaves_the_positive_out():
    p = contrast_batch()
    want = []
    for i in range(N):
        of = negatives_of(p, i)
        total = sum(math.exp(p.logit[i, j] + p.log_weight[i, j]) for j in of)
        want.append(math.log(total) - float(p.positive_logit[i]) if of else 0.0)
    close(DCL()(p), want)


def test_dcl_within_and_the_far_positives_weight():
    p = contrast_batch(weighted=False)
    counted = [i for i in range(N) if negatives_of(p, i)]
    cosine = [cos(p.query[i], p.positive[i]) for i in range(N)]
    total = sum(math.exp(cosine[i] / 0.5) for i in counted)
    want = []
    for i in range(N):
        of = [math.exp(p.logit[i, j]) for j in negatives_of(p, i)]
        of += [math.exp(cos(p.query[i], p.query[j]) / T) for j in range(N) if j != i]
        pull = 2 - len(counted) * math.exp(cosine[i] / 0.5) / total if i in counted else 2.0
        want.append(math.log(sum(of)) - pull * cosine[i] / T)
    close(DCL(within=True, sigma=0.5)(p), want)


def test_cacr():
    p = contrast_batch()
    target = torch.where(p.mask, torch.rand(N, K, dtype=torch.float64), 0.0)
    target[2] = 0
    want = []
    for i in range(N):
        of = negatives_of(p, i)
        if not of:
            want.append(0.0)
            continue
        far = [float((p.query[i] - p.positive[i]).square().sum())]
        own = far[0]
        far += [float((p.query[i] - p.negatives[j]).square().sum()) for j in range(K) if target[i, j] > 0]
        pull = [math.exp(1.5 * c) for c in far]
        attraction = sum(w * c for w, c in zip(pull, far, strict=True)) / sum(pull)
        near = [float((p.query[i] - p.negatives[j]).square().sum()) for j in of]
        push = [math.exp(-2.0 * d + p.log_weight[i, j]) for d, j in zip(near, of, strict=True)]
        repulsion = sum(w * d for w, d in zip(push, near, strict=True)) / sum(push)
        want.append(0.7 * attraction - 1.3 * (repulsion - 0.1 * own) / 0.9)
    close(CACR(0.7, 1.3, 1.5, 2.0)(p, target, 0.1), want)


def test_weights_of_attraction_and_repulsion_are_softmaxes_of_the_cosine():
    """On unit vectors softmax(-t d) = softmax(2 t cos)."""
    p = contrast_batch(weighted=False)
    d = 2 - 2 * p.query @ p.negatives.T
    close((-1.5 * d).softmax(1), (3.0 * p.query @ p.negatives.T).softmax(1))


def test_groco_sorts():
    """Steep swaps are a sort: the loss is near 0 where the positive is the largest, and large where it is not."""
    sharp = GroCo(steepness=1e6, art=0.0)
    v = torch.tensor([[0.1, 0.2, 0.3, 0.9], [0.3, 0.1, 0.2, 0.0]], dtype=torch.float64)
    place = sharp.sort(v)
    sorted_values = torch.einsum("rpv,rv->rp", place, v)
    close(sorted_values, v.sort(1).values, 1e-4)
    close(place.sum(1), torch.ones(2, 4))
    close(place.sum(2), torch.ones(2, 4))


def test_groco_equals_a_network_of_single_swaps():
    p = contrast_batch(weighted=False)
    part = GroCo(n_hardest=4)
    for i in range(1, N):
        of = sorted((float(p.query[i] @ p.negatives[j]) for j in negatives_of(p, i)), reverse=True)[:4]
        v = [*([-1.0] * (4 - len(of))), *reversed(of), float(p.query[i] @ p.positive[i])]
        n = len(v)
        place = [[float(r == c) for c in range(n)] for r in range(n)]
        for layer in range(n):
            for x in range(layer % 2, n - 1, 2):
                gap = v[x + 1] - v[x]
                stays = math.atan(gap / (abs(gap) ** 0.25 + 1e-10)) / math.pi + 0.5
                v[x], v[x + 1] = stays * v[x] + (1 - stays) * v[x + 1], stays * v[x + 1] + (1 - stays) * v[x]
                low = [stays * a + (1 - stays) * b for a, b in zip(place[x], place[x + 1], strict=True)]
                place[x + 1] = [stays * b + (1 - stays) * a for a, b in zip(place[x], place[x + 1], strict=True)]
                place[x] = low

        def bce(q, y):
            return -(y * math.log(max(q, 1e-44)) + (1 - y) * math.log(max(1 - q, 1e-44)))

        last, first = place[-1], [sum(place[r][c] for r in range(n - 1)) for c in range(n)]
        want = sum(bce(last[c], float(c == n - 1)) + bce(first[c], float(c < n - 1)) for c in range(n)) / (2 * n)
        assert float(part(p)[i]) == pytest.approx(want, rel=1e-6)


def test_cluster_proxy_with_a_cluster_an_anchor():
    """As many clusters as rows: proxies are the rows themselves."""
    p = contrast_batch(weighted=False)
    got = ClusterProxy(n_clusters=N, t=2.0)(p)
    apart = 0.0
    for q in range(N):
        apart += math.log(sum(1.0 if r == q else math.exp(2 * cos(p.query[q], p.positive[r])) for r in range(N))) / N
    want = [apart - 2 * cos(p.query[i], p.positive[i]) if negatives_of(p, i) else 0.0 for i in range(N)]
    close(got, want, 1e-8)


def test_ordinal_mix():
    p = contrast_batch(weighted=False)
    got = OrdinalMix(0.3)(p)
    y, y_key = p.metadata.value, p.negative_metadata.value
    for i in range(1, N):
        of = negatives_of(p, i)
        logits = [p.logit[i, j] for j in of]
        for j in of:
            if y_key[j] != y[i]:
                logits.append(torch.tensor(cos(p.query[i], 0.3 * p.query[i] + 0.7 * p.negatives[j]) / T))
        total = sum(math.exp(s) for s in logits)

        def loss(s, total=total):
            return math.log(1 + total / math.exp(s))

        first = loss(float(p.positive_logit[i]))
        below = [j for j in of if y_key[j] < y[i]]
        above = [j for j in of if y_key[j] > y[i]]
        want = first
        if below and above:
            lo, hi = max(below, key=lambda j: y_key[j]), min(above, key=lambda j: y_key[j])
            part = float((y_key[hi] - y[i]) / (y_key[hi] - y_key[lo]))
            assert part * y_key[lo] + (1 - part) * y_key[hi] == pytest.approx(float(y[i]))
            want = (first + loss(cos(p.query[i], part * p.negatives[lo] + (1 - part) * p.negatives[hi]) / T)) / 2
        assert float(got[i]) == pytest.approx(want, rel=1e-8)


def test_adversarial_steps():
    """The negative fails the task more than the positive did; the far positive passes it, farther from its query."""
    p = contrast_batch(weighted=False)
    part = Adversarial(0.1, 0.5)
    near, far = part._perturbed(p)
    own = torch.arange(N)

    def task(x):
        return torch.nn.functional.cross_entropy(x @ p.query.T / T, own, reduction="none")

    assert (task(near) > task(p.positive)).all()
    plain = l2_normalize(p.positive + 0.5 * torch.nn.functional.normalize(-p.query, dim=-1))
    assert ((p.query * far).sum(-1)[1:] < (p.query * p.positive).sum(-1)[1:] + 1e-9).float().mean() > 0.5
    assert task(far).mean() < task(plain).mean()  # what KL keeps
    without = Adversarial(0.0, 0.0)(p)
    for i in range(1, N):
        total = sum(math.exp(p.logit[i, j]) for j in negatives_of(p, i)) + math.exp(p.positive_logit[i])
        assert float(without[i]) == pytest.approx(math.log(1 + total / math.exp(p.positive_logit[i])), rel=1e-8)


def test_ranker():
    p = contrast_batch(weighted=False)
    torch.manual_seed(0)
    part = Ranker(D, n_hardest=3, reward=0.2).double()
    got = part(p).detach()
    for i in range(1, N):
        of = sorted(negatives_of(p, i), key=lambda j: -float(p.logit[i, j]))[:3]
        candidates = [p.positive[i], *(p.negatives[j] for j in of)]
        f = torch.stack([part.rank(torch.cat([p.query[i] * c, (p.query[i] - c).abs()]))[0] for c in candidates])
        s = torch.stack([p.query[i] @ c / T for c in candidates])
        log_p, q = s.log_softmax(0), f.softmax(0)
        r = torch.stack([torch.log(torch.sigmoid(f[0] - x)) for x in f])
        want = (-f.log_softmax(0)[0] - 0.8 * (q * log_p).sum() + 0.2 * (r * log_p).sum()).detach()
        assert float(got[i]) == pytest.approx(float(want), rel=1e-8)
