"""Regularizers against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import math

import pytest
import torch
from contrast_batch import D, N, close, contrast_batch, cos, draw
from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch, PairMetadata
from mmcl.losses.contrastive.regularizers.adaptive_margin import AdaptiveMargin
from mmcl.losses.contrastive.regularizers.align_uniform import AlignUniform
from mmcl.losses.contrastive.regularizers.bottleneck import Bottleneck
from mmcl.losses.contrastive.regularizers.common_salient import CommonSalient
from mmcl.losses.contrastive.regularizers.community import Community
from mmcl.losses.contrastive.regularizers.compactness import Compactness
from mmcl.losses.contrastive.regularizers.cross_barlow import CrossBarlow
from mmcl.losses.contrastive.regularizers.direct_predictor import DirectPredictor
from mmcl.losses.contrastive.regularizers.feature_distance import FeatureDistance
from mmcl.losses.contrastive.regularizers.predictor import Predictor
from mmcl.losses.contrastive.regularizers.proto_nce import ProtoNCE
from mmcl.losses.contrastive.regularizers.prototypes import Prototypes
from mmcl.losses.contrastive.regularizers.std_hinge import StdHinge
from mmcl.losses.contrastive.regularizers.swapped_assignment import SwappedAssignment
from mmcl.types import l2_normalize

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def squared(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().sum())


def log_mean_kernel(z, t: float) -> float:
    n = len(z)
    terms = [math.exp(-t * squared(z[i], z[j])) for i in range(n) for j in range(n) if i != j]
    return math.log(sum(terms) / len(terms))


def test_align_uniform():
    p = contrast_batch()
    align = sum(squared(p.query[i], p.positive[i]) for i in range(N)) / N
    want = align + 0.5 * (log_mean_kernel(p.query, 2.0) + log_mean_kernel(p.positive, 2.0)) / 2
    assert float(AlignUniform(0.5)(p)) == pytest.approx(want)


def test_common_salient():
    p = contrast_batch()
    y = torch.tensor([1, 0, 2, 1, 0, 1])
    p = ContrastBatch(**{**vars(p), "metadata": PairMetadata(label=y)})
    half, k = D // 2, 1.0  # 1 / 2t at t = .5
    c_a, s_a, c_b, s_b = p.query[:, :half], p.query[:, half:], p.positive[:, :half], p.positive[:, half:]
    event = [i for i in range(N) if y[i] > 0]
    plain = [i for i in range(N) if y[i] == 0]

    def term(x, z, of):
        align = sum(k * squared(x[i], z[i]) for i in of) / len(of)
        return align + log_mean_kernel(x[of], k) + log_mean_kernel(z[of], k)

    empty = sum((float(s_a[i].square().sum()) + float(s_b[i].square().sum())) / 2 for i in plain) / len(plain)
    joint = (
        sum(
            math.log(
                sum(math.exp(-k * squared(c_a[i], c_a[j])) * math.exp(-k * squared(s_a[i], s_a[j])) for j in range(N))
                / N
            )
            for i in range(N)
        )
        / N
    )
    want = 1.0 * term(c_a, c_b, list(range(N))) + 2.0 * term(s_a, s_b, event) + 3.0 * empty + 4.0 * joint
    assert float(CommonSalient(1.0, 2.0, 3.0, 4.0)(p)) == pytest.approx(want)


def test_std_hinge_and_barlow():
    p = contrast_batch()
    hinge = 0.0
    for z in (p.query, p.positive):
        for d in range(D):
            mean = float(z[:, d].mean())
            var = sum((float(v) - mean) ** 2 for v in z[:, d]) / (N - 1)
            hinge += max(0.0, 1 / math.sqrt(D) - math.sqrt(var + 1e-4)) / D / 2
    assert float(StdHinge()(p)) == pytest.approx(hinge)

    def standard(z):
        return (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()

    a, b = standard(p.query), standard(p.positive)
    total = 0.0
    for d in range(D):
        for e in range(D):
            c = float((a[:, d] * b[:, e]).sum() / N)
            total += (c - 1) ** 2 if d == e else 5e-3 * c * c
    assert float(CrossBarlow()(p)) == pytest.approx(total)


def test_predictor_and_direct_predictor():
    torch.manual_seed(0)
    p = contrast_batch()
    part = Predictor(D).double()

    def one(x, y):
        return 2 - 2 * cos(part.net(x), y)

    want = sum(one(p.query[i], p.positive[i]) + one(p.positive[i], p.query[i]) for i in range(N)) / (2 * N)
    assert float(part(p)) == pytest.approx(want)
    direct = DirectPredictor(D).double()
    got = float(direct(p))
    f = 0.7 * sum(torch.outer(a, a) for a in p.query) / N
    close(direct.correlation, f)
    value, vector = torch.linalg.eigh(f)
    w = vector @ torch.diag((value.clamp(min=0) / value.max()).sqrt() + 0.01) @ vector.T
    assert got == pytest.approx(sum(-2 * cos(w @ p.query[i], p.positive[i]) for i in range(N)) / N)


def test_swapped_assignment_is_balanced():
    p = contrast_batch()
    part = SwappedAssignment(eps=0.5, n_rounds=200)
    target = part.balanced((p.positive @ p.query.T), torch.ones(N, dtype=torch.float64))
    close(target.sum(0), torch.ones(N), 1e-6)
    close(target.sum(1), torch.ones(N), 1e-6)
    want = 0.0
    for s in (p.query @ p.positive.T, p.positive @ p.query.T):
        q = part.balanced(s.T, torch.ones(N, dtype=torch.float64))
        for i in range(N):
            norm = math.log(sum(math.exp(float(v) / 0.1) for v in s[i]))
            want += sum(-float(q[i, j]) * (float(s[i, j]) / 0.1 - norm) for j in range(N)) / (2 * N)
    assert float(part(p)) == pytest.approx(want)


def test_compactness_bounds_the_worst_query_of_a_ball():
    p = contrast_batch()
    part = Compactness(eps=0.3)
    bound = part.bound(p.query, p.positive, torch.ones(N, dtype=torch.float64))
    for i in range(N):
        away = p.positive[i] - sum(p.positive[j] for j in range(N) if j != i) / (N - 1)
        worst = p.query[i] - 0.3 * away / away.norm()
        assert float(bound[i]) == pytest.approx(float(worst @ away))
        for s in range(20):  # no other query of the ball does worse
            other = p.query[i] + 0.3 * l2_normalize(draw(1, D, seed=s))[0]
            assert float(other @ away) >= float(bound[i]) - 1e-9
    assert float(part(p)) == pytest.approx(sum(math.log(1 + math.exp(-float(b))) for b in bound) / N)


def test_adaptive_margin():
    p = contrast_batch()
    c = p.query @ p.positive.T
    own = [float(c[i, i]) for i in range(N)]
    other = [float(c[i, j]) for i in range(N) for j in range(N) if i != j]
    lo, hi = min(min(own), max(other)), max(min(own), max(other))
    want = sum(max(0, s - lo) for s in own) / N + sum(max(0, hi - s) for s in other) / len(other)
    assert float(AdaptiveMargin()(p)) == pytest.approx(want)


def test_community():
    torch.manual_seed(0)
    part = Community(D, 3).double()
    p = contrast_batch()
    got = float(part(p))
    centre = l2_normalize(part.centre)
    r = [(torch.stack([p.query[i] @ centre[q] for q in range(3)]) / 0.4).softmax(0) for i in range(N)]
    c = p.query @ p.positive.T
    off = [float(c[i, j]) for i in range(N) for j in range(N) if i != j]
    graph = [[float(i != j and c[i, j] > sum(off) / len(off)) for j in range(N)] for i in range(N)]
    between = [
        [sum(float(r[i][q]) * graph[i][j] * float(r[j][s]) for i in range(N) for j in range(N)) for s in range(3)]
        for q in range(3)
    ]
    total, trace = sum(map(sum, between)), sum(between[q][q] for q in range(3))
    deca = (total - N * trace) / (N * (N - 1)) + sum(float(x.square().sum()) for x in r) / (2 * N)
    mean = [l2_normalize(sum(r[i][q] * p.query[i] for i in range(N))[None])[0] for q in range(3)]
    nce = 0.0
    for i in range(N):
        logit = torch.stack([p.positive[i] @ m for m in mean]) / 0.4
        nce += float(-logit.log_softmax(0)[int(r[i].argmax())]) / N
    share = math.exp(-0.75)
    assert got == pytest.approx(share * deca + (1 - share) * nce)


def test_prototypes_with_a_cluster_an_anchor():
    """As many clusters as rows: the target is the softmax over the other side's own rows."""
    p = contrast_batch()
    got = float(Prototypes(N, 0.1, 0.05)(p))
    want = 0.0
    for i in range(N):
        target = (torch.stack([p.positive[i] @ p.positive[j] for j in range(N)]) / 0.05).softmax(0)
        logit = (torch.stack([p.query[i] @ p.query[j] for j in range(N)]) / 0.1).log_softmax(0)
        want -= float((target * logit).sum()) / N
    assert got == pytest.approx(want)


def test_proto_nce_pulls_to_the_own_prototype():
    """Two clumps of positives: the loss is a softmax over two centres at one temperature."""
    centre = torch.eye(D, dtype=torch.float64)[:2]
    p = contrast_batch()
    number = [0, 0, 0, 1, 1, 1]
    b = l2_normalize(centre[number] + 0.01 * draw(N, D, seed=9))
    p = ContrastBatch(**{**vars(p), "positive": b})
    for seed in range(20):  # until the start has a row of each clump
        torch.manual_seed(seed)
        got = float(ProtoNCE(2, 0.2)(p))
        means = [l2_normalize(b[:3].sum(0)[None])[0], l2_normalize(b[3:].sum(0)[None])[0]]
        spread = [
            sum(
                math.sqrt(max(math.sqrt(max(2 - 2 * float(b[i] @ means[q]), 0)), 1e-6)) for i in range(3 * q, 3 * q + 3)
            )
            / 3 / math.log(8)
            for q in range(2)
        ]  # fmt: skip
        low, high = (
            sorted(spread)[0] * 0.9 + sorted(spread)[1] * 0.1,
            sorted(spread)[0] * 0.1 + sorted(spread)[1] * 0.9,
        )
        phi = [max(min(max(s, low), high), 1e-3) for s in spread]
        phi = [0.2 * x / (sum(phi) / 2) for x in phi]
        want = 0.0
        for i in range(N):
            logit = torch.stack([p.query[i] @ means[q] / phi[q] for q in range(2)])
            want -= float(logit.log_softmax(0)[number[i]]) / N
        if got == pytest.approx(want, rel=1e-6):
            return
    raise AssertionError("no start gave the two clumps")


def test_feature_distance():
    p = contrast_batch()
    want = sum(squared(p.query[i], l2_normalize(p.metadata.teacher)[i]) for i in range(N)) / N
    assert float(FeatureDistance()(p)) == pytest.approx(want)


def test_bottleneck_without_noise():
    torch.manual_seed(0)
    part = Bottleneck(D, 0.2, 0.5).double().eval()
    torch.nn.init.normal_(part.net.weight, std=0.2)
    p = contrast_batch()
    want = 0.0
    mu = [part.net(a)[:D] for a in p.query]
    sigma = [part.net(a)[D:].clamp(-6, 2).exp() for a in p.query]
    for i in range(N):
        logit = torch.stack([torch.tensor(cos(p.query[i], p.query[j] * mu[j]) / 0.2) for j in range(N)])
        kl = 0.5 * sum(math.log(1 + float(m) ** 2 / float(s) ** 2) for m, s in zip(mu[i], sigma[i], strict=True))
        want += (-float(logit.log_softmax(0)[i]) + 0.5 * kl) / N
    assert float(part(p)) == pytest.approx(want)
