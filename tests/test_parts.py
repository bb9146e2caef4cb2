"""Every part of an objective against plain loops over rows and keys, a closed form, or what it must reduce to."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from torch import Tensor

from mmcl.errors import InputError
from mmcl.losses import (
    anchor_weights,
    negative_weights,
    regularisers,
    rows,
    sequences,
    similarities,
    targets,
    transforms,
)
from mmcl.losses.objective import ContrastiveObjective, mean_of_rows
from mmcl.losses.pairs import About, Pairs
from mmcl.losses.parts import HOOKS, build_objective, make, parse, split_specs
from mmcl.losses.rows import unit

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")

N, K, D, T = 6, 9, 8, 0.3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def about(n: int, seed: int) -> About:
    g = torch.Generator().manual_seed(seed)
    return About(
        label=torch.randint(0, 3, (n,), generator=g),
        index=torch.arange(n) + 10 * seed,
        group=torch.randint(0, 2, (n,), generator=g),
        domain=torch.randint(0, 3, (n,), generator=g),
        auxiliary=draw(n, 5, seed=seed + 50),
        teacher=draw(n, D, seed=seed + 60),
        value=torch.rand(n, generator=g, dtype=torch.float64),
    )


def pairs(n: int = N, k: int = K, some: bool = True) -> Pairs:
    a, b, key = (unit(draw(m, D, seed=s)) for m, s in ((n, 1), (n, 2), (k, 3)))
    mask = torch.rand(n, k, generator=torch.Generator().manual_seed(4)) < 0.7
    mask[0] = False  # a row without negatives
    mask[1] = True
    weight = 0.3 * draw(n, k, seed=5) if some else None
    of = about(n, 6)
    return Pairs(
        a,
        b,
        key,
        (a * b).sum(-1) / T,
        a @ key.T / T,
        mask,
        T,
        weight,
        None,
        of,
        about(n, 7),
        about(k, 8),
        0.75,
    )


def negatives_of(p: Pairs, i: int) -> list[int]:
    return [j for j in range(len(p.key)) if p.mask[i, j]]


def cos(x: Tensor, y: Tensor) -> float:
    return float((x * y).sum() / (x.norm() * y.norm()))


def close(got: Tensor, want, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=got.dtype), atol=tolerance, rtol=tolerance)


# rows


def test_info_nce_without_parts_is_the_old_formula():
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    got = ContrastiveObjective(T)(query, positive, key).row
    close(got, [reference.contrast_row(query[i], positive[i], list(key), T) for i in range(N)])


def test_decoupled_leaves_the_positive_out():
    p = pairs()
    want = []
    for i in range(N):
        of = negatives_of(p, i)
        total = sum(math.exp(p.logit[i, j] + p.log_weight[i, j]) for j in of)
        want.append(math.log(total) - float(p.positive_logit[i]) if of else 0.0)
    close(rows.Decoupled()(p), want)


def test_decoupled_within_and_the_far_positives_weight():
    p = pairs(some=False)
    counted = [i for i in range(N) if negatives_of(p, i)]
    cosine = [cos(p.query[i], p.positive[i]) for i in range(N)]
    total = sum(math.exp(cosine[i] / 0.5) for i in counted)
    want = []
    for i in range(N):
        of = [math.exp(p.logit[i, j]) for j in negatives_of(p, i)]
        of += [math.exp(cos(p.query[i], p.query[j]) / T) for j in range(N) if j != i]
        pull = 2 - len(counted) * math.exp(cosine[i] / 0.5) / total if i in counted else 2.0
        want.append(math.log(sum(of)) - pull * cosine[i] / T)
    close(rows.Decoupled(within=True, sigma=0.5)(p), want)


def test_attraction_repulsion():
    p = pairs()
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
        far += [float((p.query[i] - p.key[j]).square().sum()) for j in range(K) if target[i, j] > 0]
        pull = [math.exp(1.5 * c) for c in far]
        attraction = sum(w * c for w, c in zip(pull, far, strict=True)) / sum(pull)
        near = [float((p.query[i] - p.key[j]).square().sum()) for j in of]
        push = [math.exp(-2.0 * d + p.log_weight[i, j]) for d, j in zip(near, of, strict=True)]
        repulsion = sum(w * d for w, d in zip(push, near, strict=True)) / sum(push)
        want.append(0.7 * attraction - 1.3 * (repulsion - 0.1 * own) / 0.9)
    close(rows.AttractionRepulsion(0.7, 1.3, 1.5, 2.0)(p, target, 0.1), want)


def test_weights_of_attraction_and_repulsion_are_softmaxes_of_the_cosine():
    """On unit vectors softmax(-t d) = softmax(2 t cos)."""
    p = pairs(some=False)
    d = 2 - 2 * p.query @ p.key.T
    close((-1.5 * d).softmax(1), (3.0 * p.query @ p.key.T).softmax(1))


def test_group_order_sorts():
    """Steep swaps are a sort: the loss is near 0 where the positive is the largest, and large where it is not."""
    sharp = rows.GroupOrder(steepness=1e6, art=0.0)
    v = torch.tensor([[0.1, 0.2, 0.3, 0.9], [0.3, 0.1, 0.2, 0.0]], dtype=torch.float64)
    place = sharp.sort(v)
    sorted_values = torch.einsum("rpv,rv->rp", place, v)
    close(sorted_values, v.sort(1).values, 1e-4)
    close(place.sum(1), torch.ones(2, 4))
    close(place.sum(2), torch.ones(2, 4))


def test_group_order_equals_a_network_of_single_swaps():
    p = pairs(some=False)
    part = rows.GroupOrder(n_hardest=4)
    for i in range(1, N):
        of = sorted((float(p.query[i] @ p.key[j]) for j in negatives_of(p, i)), reverse=True)[:4]
        v = [*([-1.0] * (4 - len(of))), *reversed(of), float(p.query[i] @ p.positive[i])]
        n = len(v)
        place = [[float(r == c) for c in range(n)] for r in range(n)]
        for layer in range(n):
            for x in range(layer % 2, n - 1, 2):
                gap = v[x + 1] - v[x]
                stays = math.atan(gap / (abs(gap) ** 0.25 + 1e-10)) / math.pi + 0.5
                v[x], v[x + 1] = stays * v[x] + (1 - stays) * v[x + 1], stays * v[x + 1] + (1 - stays) * v[x]
                low = [stays * a + (1 - stays) * b for a, b in zip(place[x], place[x + 1], strict=True)]
                place[x + 1] = [
                    stays * b + (1 - stays) * a for a, b in zip(place[x], place[x + 1], strict=True)
                ]
                place[x] = low
        bce = lambda q, y: -(y * math.log(max(q, 1e-44)) + (1 - y) * math.log(max(1 - q, 1e-44)))
        last, first = place[-1], [sum(place[r][c] for r in range(n - 1)) for c in range(n)]
        want = sum(bce(last[c], float(c == n - 1)) + bce(first[c], float(c < n - 1)) for c in range(n)) / (
            2 * n
        )
        assert float(part(p)[i]) == pytest.approx(want, rel=1e-6)


def test_cluster_proxy_with_a_cluster_a_row():
    """As many clusters as rows: proxies are the rows themselves."""
    p = pairs(some=False)
    got = rows.ClusterProxy(n_clusters=N, t=2.0)(p)
    apart = 0.0
    for q in range(N):
        apart += (
            math.log(sum(1.0 if r == q else math.exp(2 * cos(p.query[q], p.positive[r])) for r in range(N)))
            / N
        )
    want = [apart - 2 * cos(p.query[i], p.positive[i]) if negatives_of(p, i) else 0.0 for i in range(N)]
    close(got, want, 1e-8)


def test_ordinal_mix():
    p = pairs(some=False)
    got = rows.OrdinalMix(0.3)(p)
    y, y_key = p.about.value, p.about_key.value
    for i in range(1, N):
        of = negatives_of(p, i)
        logits = [p.logit[i, j] for j in of]
        for j in of:
            if y_key[j] != y[i]:
                logits.append(torch.tensor(cos(p.query[i], 0.3 * p.query[i] + 0.7 * p.key[j]) / T))
        total = sum(math.exp(s) for s in logits)
        loss = lambda s, total=total: math.log(1 + total / math.exp(s))
        first = loss(float(p.positive_logit[i]))
        below = [j for j in of if y_key[j] < y[i]]
        above = [j for j in of if y_key[j] > y[i]]
        want = first
        if below and above:
            lo, hi = max(below, key=lambda j: y_key[j]), min(above, key=lambda j: y_key[j])
            part = float((y_key[hi] - y[i]) / (y_key[hi] - y_key[lo]))
            assert part * y_key[lo] + (1 - part) * y_key[hi] == pytest.approx(float(y[i]))
            want = (first + loss(cos(p.query[i], part * p.key[lo] + (1 - part) * p.key[hi]) / T)) / 2
        assert float(got[i]) == pytest.approx(want, rel=1e-8)


def test_adversarial_steps():
    """The negative fails the task more than the positive did; the far positive passes it, farther from its query."""
    p = pairs(some=False)
    part = rows.Adversarial(0.1, 0.5)
    near, far = part._perturbed(p)
    own = torch.arange(N)
    task = lambda x: torch.nn.functional.cross_entropy(x @ p.query.T / T, own, reduction="none")
    assert (task(near) > task(p.positive)).all()
    plain = unit(p.positive + 0.5 * torch.nn.functional.normalize(-p.query, dim=-1))
    assert ((p.query * far).sum(-1)[1:] < (p.query * p.positive).sum(-1)[1:] + 1e-9).float().mean() > 0.5
    assert task(far).mean() < task(plain).mean()  # what KL keeps
    without = rows.Adversarial(0.0, 0.0)(p)
    for i in range(1, N):
        total = sum(math.exp(p.logit[i, j]) for j in negatives_of(p, i)) + math.exp(p.positive_logit[i])
        assert float(without[i]) == pytest.approx(
            math.log(1 + total / math.exp(p.positive_logit[i])), rel=1e-8
        )


def test_ranker():
    p = pairs(some=False)
    torch.manual_seed(0)
    part = rows.Ranker(D, n_hardest=3, reward=0.2).double()
    got = part(p).detach()
    for i in range(1, N):
        of = sorted(negatives_of(p, i), key=lambda j: -float(p.logit[i, j]))[:3]
        candidates = [p.positive[i], *(p.key[j] for j in of)]
        f = torch.stack(
            [part.rank(torch.cat([p.query[i] * c, (p.query[i] - c).abs()]))[0] for c in candidates]
        )
        s = torch.stack([p.query[i] @ c / T for c in candidates])
        log_p, q = s.log_softmax(0), f.softmax(0)
        r = torch.stack([torch.log(torch.sigmoid(f[0] - x)) for x in f])
        want = (-f.log_softmax(0)[0] - 0.8 * (q * log_p).sum() + 0.2 * (r * log_p).sum()).detach()
        assert float(got[i]) == pytest.approx(float(want), rel=1e-8)


# weights of negatives


def test_concentration_is_in_the_formula():
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    part = negative_weights.Concentration(1.5)
    got = ContrastiveObjective(T, 0.05, negatives=(part,))(query, positive, key).row
    close(got, [reference.contrast_row(query[i], positive[i], list(key), T, 1.5, 0.05) for i in range(N)])


def test_cluster_count_parts_what_lies_apart():
    """Two tight clumps: within one never a negative, across always counted whole."""
    centre = torch.eye(D, dtype=torch.float64)[:2]
    own, key = centre[[0, 0, 1]], centre[[0, 1, 1, 0]]
    p = pairs(3, 4)
    p = Pairs(**{**vars(p), "about_positive": About(auxiliary=own), "about_key": About(auxiliary=key)})
    torch.manual_seed(0)
    got = negative_weights.ClusterCount(n_clusters=4, n_clusterings=6)(p)
    same = torch.tensor([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], dtype=torch.bool)
    close(got.exp(), (~same).double(), 1e-5)


def test_learned_weight():
    torch.manual_seed(0)
    p = pairs()
    part = negative_weights.LearnedWeight(D).double()
    got = part(p).detach()
    for i in range(1, N):
        w = {
            j: float(torch.sigmoid(part.second(torch.tanh(part.first(p.query[i] + p.key[j]))))[0].detach())
            for j in negatives_of(p, i)
        }
        mean = sum(w.values()) / len(w)
        for j, value in w.items():
            assert float(got[i, j]) == pytest.approx(math.log(value / mean), abs=1e-9)


@pytest.mark.parametrize("margin", [0.2, None])
def test_margin_filter(margin):
    p = pairs()
    got = negative_weights.MarginFilter(margin, 0.95)(p)
    for i in range(N):
        own = cos(p.query[i], p.positive[i])
        for j in range(K):
            keep = cos(p.query[i], p.key[j]) < (own - margin if margin else 0.95 * own)
            assert (got[i, j] == 0) == keep
            assert (got[i, j] == -math.inf) == (not keep)


def test_own_cluster_only():
    centre = torch.eye(D, dtype=torch.float64)[:2]
    own, key = centre[[0, 0, 1]], centre[[0, 1, 1, 0]]
    p = pairs(3, 4)
    p = Pairs(**{**vars(p), "about_positive": About(auxiliary=own), "about_key": About(auxiliary=key)})
    torch.manual_seed(0)
    got = negative_weights.OwnClusterOnly(n_clusters=4)(p)
    assert (got[:, [1, 2]][[0, 1]] == -math.inf).all()  # never across
    assert (got[2, [0, 3]] == -math.inf).all()


def test_confidence():
    p = pairs()
    got = negative_weights.Confidence(3.0)(p)
    alone = negative_weights.Confidence()(
        Pairs(**{**vars(p), "about": About(value=p.about.value), "about_key": About(value=p.about_key.value)})
    )
    for i in range(N):
        for j in range(K):
            p_same = max(cos(p.about.teacher[i], p.about_key.teacher[j]), 0.0) ** 3
            assert float(got[i, j].exp()) == pytest.approx(1 - p_same, abs=1e-9)
            assert float(alone[i, j].exp()) == pytest.approx(
                1 - float(p.about.value[i] * p.about_key.value[j]), abs=1e-9
            )


def test_propensity():
    p = pairs()
    got = negative_weights.Propensity()(p).exp()
    for i in range(1, N):
        of = negatives_of(p, i)
        ratio = [
            (1.05 + cos(p.query[i], p.key[j]))
            / (1.05 + cos(p.about_positive.auxiliary[i], p.about_key.auxiliary[j]))
            for j in of
        ]
        mean = sum(ratio) / len(of)
        for j, r in zip(of, ratio, strict=True):
            assert float(got[i, j]) == pytest.approx(r / mean, rel=1e-8)


def test_same_label_group_and_recording():
    p = pairs()
    label, group = negative_weights.SameLabel()(p), negative_weights.OwnGroupOnly()(p)
    weak = negative_weights.OwnGroupOnly(0.1)(p)
    index = (
        About(index=torch.tensor([0, 1, 2, 3, 4, 5])),
        About(index=torch.tensor([0, 0, 1, 2, 9, 9, 9, 5, 5])),
    )
    own = negative_weights.OwnRecordingOnly()(Pairs(**{**vars(p), "about": index[0], "about_key": index[1]}))
    for i in range(N):
        for j in range(K):
            assert float(label[i, j].exp()) == float(p.about.label[i] != p.about_key.label[j])
            same_group = bool(p.about.group[i] == p.about_key.group[j])
            alone = not any(p.about.group[i] == p.about_key.group[x] for x in negatives_of(p, i))
            assert float(group[i, j].exp()) == float(same_group or alone)  # a row alone keeps all
            assert float(weak[i, j].exp()) == pytest.approx(1.0 if same_group or alone else 0.1)
            assert float(own[i, j].exp()) == float(index[0].index[i] == index[1].index[j])


def test_overlapping_labels_count_in_part():
    p = pairs()
    g = torch.Generator().manual_seed(0)
    y, y_key = (torch.randint(0, 2, (n, 4), generator=g) for n in (N, K))
    p = Pairs(**{**vars(p), "about": About(label=y), "about_key": About(label=y_key)})
    got, target = negative_weights.SameLabel()(p).exp(), targets.LabelOverlap()(p)
    for i in range(N):
        f = {}
        for j in range(K):
            a, b = ({c for c in range(4) if z[c]} for z in (y[i], y_key[j]))
            f[j] = len(a & b) / len(a | b) if a | b else 1.0
            assert float(got[i, j]) == pytest.approx(1 - f[j], abs=1e-6)
        of = negatives_of(p, i)
        for j in range(K):
            assert float(target[i, j]) == pytest.approx(
                f[j] / (1 + sum(f[x] for x in of)) if j in of else 0.0
            )


def test_weights_add_up_in_order():
    """Concentration looks at what the weights before it left."""
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    own, of_key = about(N, 6), about(K, 8)
    got = ContrastiveObjective(
        T, negatives=(negative_weights.OwnGroupOnly(), negative_weights.Concentration(2.0))
    )(query, positive, key, about=own, about_key=of_key).row
    assert set(own.group.tolist()) <= set(of_key.group.tolist())
    want = [
        reference.contrast_row(
            query[i], positive[i], [key[j] for j in range(K) if own.group[i] == of_key.group[j]], T, 2.0
        )
        for i in range(N)
    ]
    close(got, want)


# targets


def test_supcon_shares_the_attraction():
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    own, of_key = about(N, 6), about(K, 8)
    got = ContrastiveObjective(T, target=targets.SupCon())(
        query, positive, key, about=own, about_key=of_key
    ).row
    for i in range(N):
        s = [cos(query[i], key[j]) / T for j in range(K)]
        total = sum(math.exp(x) for x in s)
        of = [cos(query[i], positive[i]) / T, *(s[j] for j in range(K) if own.label[i] == of_key.label[j])]
        want = sum(math.log(1 + total / math.exp(x)) for x in of) / len(of)
        assert float(got[i]) == pytest.approx(want, rel=1e-8)


def test_soft_teacher():
    p = pairs()
    got = targets.SoftTeacher(0.6, 0.2)(p)
    for i in range(N):
        of = negatives_of(p, i)
        power = {j: math.exp(cos(p.about.teacher[i], p.about_key.teacher[j]) / 0.2) for j in of}
        total = sum(power.values()) + math.exp(cos(p.about.teacher[i], p.about_positive.teacher[i]) / 0.2)
        for j in range(K):
            assert float(got[i, j]) == pytest.approx(0.6 * power[j] / total if j in of else 0.0, abs=1e-9)


# weights of anchors


def test_bad_pairs_by_their_history():
    part = anchor_weights.BadPairs(20, warm_up=0.5, low=1.0, high=1.5)
    p = pairs(some=False)
    index = torch.arange(N)
    p = Pairs(**{**vars(p), "about": About(index=index), "mask": torch.ones(N, K, dtype=torch.bool)})
    history: dict[int, list[tuple[float, float]]] = {i: [] for i in range(N)}
    for progress in (0.2, 0.4, 0.9):
        losses = draw(N, seed=int(10 * progress)).abs() + torch.tensor([0, 0, 0, 0, 0, 6.0])
        got = part(Pairs(**{**vars(p), "progress": progress}), losses)
        for i in range(N):
            history[i].append((progress + 1e-3, float(losses[i])))
        if progress < 0.5:
            close(got, torch.ones(N))
    mean = {i: sum(w * x for w, x in h) / sum(w for w, _ in h) for i, h in history.items()}
    mu = sum(mean.values()) / N
    sd = math.sqrt(sum((m - mu) ** 2 for m in mean.values()) / N)
    want = [
        math.exp(-((mean[i] - mu) ** 2) / (2 * sd * sd))
        if mean[i] <= mu - sd or mean[i] >= mu + 1.5 * sd
        else 1.0
        for i in range(N)
    ]
    assert min(want) < 0.5
    close(got, want, 1e-5)


@pytest.mark.parametrize("shape", ["linear", "top", "bell"])
def test_similarity_schedule(shape):
    p = pairs()
    got = anchor_weights.SimilaritySchedule(shape)(p, torch.ones(N, dtype=torch.float64))
    h = {
        "linear": lambda x: x,
        "top": lambda x: math.sqrt(1 - (x - 1) ** 2),
        "bell": lambda x: math.exp(-((4 * (x - 0.5)) ** 2) / 2),
    }[shape]
    w = [0.25 + 0.75 * h(min(max(cos(p.query[i], p.positive[i]), 0.0), 1.0)) for i in range(N)]
    counted = [i for i in range(N) if negatives_of(p, i)]
    mean = sum(w[i] for i in counted) / len(counted)
    close(got, [x / mean for x in w])
    at_first = anchor_weights.SimilaritySchedule(shape)(Pairs(**{**vars(p), "progress": 0.0}), got)
    close(at_first, torch.ones(N))


# transforms


def test_extrapolated_pairs_are_harder():
    p = pairs()
    torch.manual_seed(0)
    part = 1 + float(torch.distributions.Beta(torch.tensor(2.0), torch.tensor(2.0)).sample((1,)))
    torch.manual_seed(0)
    made = transforms.Extrapolate(2.0)(p)
    inner = (made.query * made.positive).sum(-1)
    cosine = (p.query * p.positive).sum(-1)
    close(inner, 2 * part * (1 - part) + (2 * part**2 - 2 * part + 1) * cosine, 1e-6)
    assert (inner < cosine).all()


def test_mixed_negatives_lie_between_two_that_are():
    p = pairs()
    torch.manual_seed(0)
    made = transforms.MixNegatives()(p)
    assert made.key.shape == (2 * K, D)
    assert made.mask.shape == (N, 2 * K)
    close(made.key[:K], p.key)
    for j in range(K):
        fits = []
        for other in range(K):
            a, b = p.key[j], p.key[other]
            if other == j:
                share, off = 1.0, (made.key[K + j] - a).abs().max()
            else:
                share = float(((made.key[K + j] - b) @ (a - b)) / ((a - b) @ (a - b)))
                off = (share * a + (1 - share) * b - made.key[K + j]).abs().max()
            fits.append(float(off) < 1e-6 and -1e-6 <= share <= 1 + 1e-6 and all(
                bool(made.mask[i, K + j]) == bool(p.mask[i, j] and p.mask[i, other]) for i in range(N)
            ))  # fmt: skip
        assert any(fits)


def test_whitened_groups_have_the_identity_as_covariance():
    n = 40
    x = unit(draw(n, D, seed=3) @ draw(D, D, seed=4))
    p = pairs(n, n)
    p = Pairs(**{**vars(p), "query": x, "positive": x.flip(0), "key": x})
    part = transforms.GroupWhitening(n_groups=2, eps=1e-9)
    order, undo = part._order(x)
    white = part._whiten(x, x, torch.ones(n, dtype=torch.bool), order, undo)
    groups = white[:, order].unflatten(1, (2, D // 2)).transpose(0, 1)
    covariance = groups.transpose(1, 2) @ groups / n
    close(covariance, torch.eye(D // 2, dtype=torch.float64).expand(2, -1, -1), 1e-5)
    close(part(p).query.norm(dim=1), torch.ones(n))


def test_neighbour_positive():
    torch.manual_seed(0)
    part = transforms.NeighbourPositive(D, n=3, dropout=0.0).double()
    p = pairs()
    got = part(p).positive
    for i in range(N):
        near = sorted(range(K), key=lambda j: -cos(p.about_positive.auxiliary[i], p.about_key.auxiliary[j]))[
            :3
        ]
        candidates = [p.positive[i], *(p.key[j] for j in near)]
        e = [part.map(c) for c in candidates]
        asked = torch.stack([part.ask(torch.cat([e[0], x]))[0] for x in e])
        share = torch.where(asked > 0, asked, 0.01 * asked).softmax(0)
        mixed = sum(s * c for s, c in zip(share, candidates, strict=True))
        close(got[i], mixed / mixed.norm())
    assert part.eval()(p) is p


def test_learned_view_moves_a_little_and_only_in_training():
    torch.manual_seed(0)
    part = transforms.LearnedView(D).double()
    p = pairs()
    made = part(p)
    assert not torch.equal(made.query, p.query)
    close(made.query.norm(dim=1), torch.ones(N))
    assert ((made.query * p.query).sum(-1) > 0.9).all()
    assert part.eval()(p) is p


# similarities


def test_one_head_at_a_fixed_temperature_is_the_cosine():
    part = similarities.MultiHead(D, n_heads=1, low=T, high=T).double()
    part.heads[0] = torch.nn.Identity()
    p = pairs()
    close(part(p.query, p.key, p.about, p.about_key), p.logit)
    close(part.paired(p.query, p.positive, p.about, p.about_positive), p.positive_logit)
    assert float(part.penalty(p).detach()) == pytest.approx(0.1 * (D / 2 * math.log(T) + 1 / T))


def test_multi_head_sums_heads_with_temperatures_of_their_own():
    torch.manual_seed(0)
    part = similarities.MultiHead(D, n_heads=2, hidden=8).double()
    torch.nn.init.normal_(part.bilinear)
    part.requires_grad_(False)
    p = pairs()
    got, own = (
        part(p.query, p.key, p.about, p.about_key),
        part.paired(p.query, p.positive, p.about, p.about_positive),
    )

    def one(x: Tensor, y: Tensor) -> float:
        total = 0.0
        for h, head in enumerate(part.heads):
            a, b = head(x), head(y)
            a, b = a / a.norm(), b / b.norm()
            t = 0.05 + 1.95 * torch.sigmoid(a @ part.bilinear[h] @ b + part.bias[h])
            total += float(a @ b / t)
        return total

    for i in range(N):
        assert float(own[i]) == pytest.approx(one(p.query[i], p.positive[i]))
        for j in range(K):
            assert float(got[i, j]) == pytest.approx(one(p.query[i], p.key[j]))


def test_class_gate():
    torch.manual_seed(0)
    part = similarities.ClassGate(D, 3, T).double().requires_grad_(False)
    p = pairs()
    got = part(p.query, p.key, p.about, p.about_key)
    own = part.paired(p.query, p.positive, p.about, p.about_positive)

    def one(x, y, a, b):
        e = part.embedding.weight
        g = torch.sigmoid(part.gate((e[a] + e[b]) / 2))
        return float(((x * g) * (y * g)).sum() / T)

    for i in range(N):
        a = p.about.label[i]
        assert float(own[i]) == pytest.approx(one(p.query[i], p.positive[i], a, p.about_positive.label[i]))
        for j in range(K):
            assert float(got[i, j]) == pytest.approx(one(p.query[i], p.key[j], a, p.about_key.label[j]))


def test_routed_experts():
    torch.manual_seed(0)
    part = similarities.Routed(D, 3, T).double()
    p = pairs()
    close(part(p.query, p.key, p.about, p.about_key), p.logit)  # experts begin at nothing
    torch.nn.init.normal_(part.expert)
    got = part(p.query, p.key, p.about, p.about_key)
    move = lambda x, d: x + part.expert[d] @ x
    for i in range(N):
        for j in range(K):
            want = cos(move(p.query[i], p.about.domain[i]), move(p.key[j], p.about_key.domain[j])) / T
            assert float(got[i, j]) == pytest.approx(want)


def test_learnable_temperature_learns():
    part = similarities.LearnableTemperature(T).double()
    p = pairs()
    close(part(p.query, p.key, p.about, p.about_key), p.logit, 1e-6)
    made = ContrastiveObjective(T, similarity=part)(draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2))
    made.row.sum().backward()
    assert part.log.grad is not None
    assert float(part.log.grad.abs()) > 0


# regularisers


def squared(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().sum())


def log_mean_kernel(z, t: float) -> float:
    n = len(z)
    terms = [math.exp(-t * squared(z[i], z[j])) for i in range(n) for j in range(n) if i != j]
    return math.log(sum(terms) / len(terms))


def test_align_uniform():
    p = pairs()
    align = sum(squared(p.query[i], p.positive[i]) for i in range(N)) / N
    want = align + 0.5 * (log_mean_kernel(p.query, 2.0) + log_mean_kernel(p.positive, 2.0)) / 2
    assert float(regularisers.AlignUniform(0.5)(p)) == pytest.approx(want)


def test_common_salient():
    p = pairs()
    y = torch.tensor([1, 0, 2, 1, 0, 1])
    p = Pairs(**{**vars(p), "about": About(label=y)})
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
                sum(
                    math.exp(-k * squared(c_a[i], c_a[j])) * math.exp(-k * squared(s_a[i], s_a[j]))
                    for j in range(N)
                )
                / N
            )
            for i in range(N)
        )
        / N
    )
    want = 1.0 * term(c_a, c_b, list(range(N))) + 2.0 * term(s_a, s_b, event) + 3.0 * empty + 4.0 * joint
    assert float(regularisers.CommonSalient(1.0, 2.0, 3.0, 4.0)(p)) == pytest.approx(want)


def test_std_hinge_and_barlow():
    p = pairs()
    hinge = 0.0
    for z in (p.query, p.positive):
        for d in range(D):
            mean = float(z[:, d].mean())
            var = sum((float(v) - mean) ** 2 for v in z[:, d]) / (N - 1)
            hinge += max(0.0, 1 / math.sqrt(D) - math.sqrt(var + 1e-4)) / D / 2
    assert float(regularisers.StdHinge()(p)) == pytest.approx(hinge)
    standard = lambda z: (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()
    a, b = standard(p.query), standard(p.positive)
    total = 0.0
    for d in range(D):
        for e in range(D):
            c = float((a[:, d] * b[:, e]).sum() / N)
            total += (c - 1) ** 2 if d == e else 5e-3 * c * c
    assert float(regularisers.CrossBarlow()(p)) == pytest.approx(total)


def test_predictor_and_direct_predictor():
    torch.manual_seed(0)
    p = pairs()
    part = regularisers.Predictor(D).double()
    one = lambda x, y: 2 - 2 * cos(part.net(x), y)
    want = sum(one(p.query[i], p.positive[i]) + one(p.positive[i], p.query[i]) for i in range(N)) / (2 * N)
    assert float(part(p)) == pytest.approx(want)
    direct = regularisers.DirectPredictor(D).double()
    got = float(direct(p))
    f = 0.7 * sum(torch.outer(a, a) for a in p.query) / N
    close(direct.correlation, f)
    value, vector = torch.linalg.eigh(f)
    w = vector @ torch.diag((value.clamp(min=0) / value.max()).sqrt() + 0.01) @ vector.T
    assert got == pytest.approx(sum(-2 * cos(w @ p.query[i], p.positive[i]) for i in range(N)) / N)


def test_swapped_assignment_is_balanced():
    p = pairs()
    part = regularisers.SwappedAssignment(eps=0.5, n_rounds=200)
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
    p = pairs()
    part = regularisers.Compactness(eps=0.3)
    bound = part.bound(p.query, p.positive, torch.ones(N, dtype=torch.float64))
    for i in range(N):
        away = p.positive[i] - sum(p.positive[j] for j in range(N) if j != i) / (N - 1)
        worst = p.query[i] - 0.3 * away / away.norm()
        assert float(bound[i]) == pytest.approx(float(worst @ away))
        for s in range(20):  # no other query of the ball does worse
            other = p.query[i] + 0.3 * unit(draw(1, D, seed=s))[0]
            assert float(other @ away) >= float(bound[i]) - 1e-9
    assert float(part(p)) == pytest.approx(sum(math.log(1 + math.exp(-float(b))) for b in bound) / N)


def test_adaptive_margin():
    p = pairs()
    c = p.query @ p.positive.T
    own = [float(c[i, i]) for i in range(N)]
    other = [float(c[i, j]) for i in range(N) for j in range(N) if i != j]
    lo, hi = min(min(own), max(other)), max(min(own), max(other))
    want = sum(max(0, s - lo) for s in own) / N + sum(max(0, hi - s) for s in other) / len(other)
    assert float(regularisers.AdaptiveMargin()(p)) == pytest.approx(want)


def test_community():
    torch.manual_seed(0)
    part = regularisers.Community(D, 3).double()
    p = pairs()
    got = float(part(p))
    centre = unit(part.centre)
    r = [(torch.stack([p.query[i] @ centre[q] for q in range(3)]) / 0.4).softmax(0) for i in range(N)]
    c = p.query @ p.positive.T
    off = [float(c[i, j]) for i in range(N) for j in range(N) if i != j]
    graph = [[float(i != j and c[i, j] > sum(off) / len(off)) for j in range(N)] for i in range(N)]
    between = [
        [
            sum(float(r[i][q]) * graph[i][j] * float(r[j][s]) for i in range(N) for j in range(N))
            for s in range(3)
        ]
        for q in range(3)
    ]
    total, trace = sum(map(sum, between)), sum(between[q][q] for q in range(3))
    deca = (total - N * trace) / (N * (N - 1)) + sum(float(x.square().sum()) for x in r) / (2 * N)
    mean = [unit(sum(r[i][q] * p.query[i] for i in range(N))[None])[0] for q in range(3)]
    nce = 0.0
    for i in range(N):
        logit = torch.stack([p.positive[i] @ m for m in mean]) / 0.4
        nce += float(-logit.log_softmax(0)[int(r[i].argmax())]) / N
    share = math.exp(-0.75)
    assert got == pytest.approx(share * deca + (1 - share) * nce)


def test_prototypes_with_a_cluster_a_row():
    """As many clusters as rows: the target is the softmax over the other side's own rows."""
    p = pairs()
    got = float(regularisers.Prototypes(N, 0.1, 0.05)(p))
    want = 0.0
    for i in range(N):
        target = (torch.stack([p.positive[i] @ p.positive[j] for j in range(N)]) / 0.05).softmax(0)
        logit = (torch.stack([p.query[i] @ p.query[j] for j in range(N)]) / 0.1).log_softmax(0)
        want -= float((target * logit).sum()) / N
    assert got == pytest.approx(want)


def test_proto_nce_pulls_to_the_own_prototype():
    """Two clumps of positives: the loss is a softmax over two centres at one temperature."""
    centre = torch.eye(D, dtype=torch.float64)[:2]
    p = pairs()
    number = [0, 0, 0, 1, 1, 1]
    b = unit(centre[number] + 0.01 * draw(N, D, seed=9))
    p = Pairs(**{**vars(p), "positive": b})
    for seed in range(20):  # until the start has a row of each clump
        torch.manual_seed(seed)
        got = float(regularisers.ProtoNCE(2, 0.2)(p))
        means = [unit(b[:3].sum(0)[None])[0], unit(b[3:].sum(0)[None])[0]]
        spread = [
            sum(math.sqrt(max(math.sqrt(max(2 - 2 * float(b[i] @ means[q]), 0)), 1e-6)) for i in range(3 * q, 3 * q + 3))
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
    p = pairs()
    want = sum(squared(p.query[i], unit(p.about.teacher)[i]) for i in range(N)) / N
    assert float(regularisers.FeatureDistance()(p)) == pytest.approx(want)


def test_bottleneck_without_noise():
    torch.manual_seed(0)
    part = regularisers.Bottleneck(D, 0.2, 0.5).double().eval()
    torch.nn.init.normal_(part.net.weight, std=0.2)
    p = pairs()
    want = 0.0
    mu = [part.net(a)[:D] for a in p.query]
    sigma = [part.net(a)[D:].clamp(-6, 2).exp() for a in p.query]
    for i in range(N):
        logit = torch.stack([torch.tensor(cos(p.query[i], p.query[j] * mu[j]) / 0.2) for j in range(N)])
        kl = 0.5 * sum(
            math.log(1 + float(m) ** 2 / float(s) ** 2) for m, s in zip(mu[i], sigma[i], strict=True)
        )
        want += (-float(logit.log_softmax(0)[i]) + 0.5 * kl) / N
    assert float(part(p)) == pytest.approx(want)


# terms on sequences


def sequences_of() -> tuple[dict[str, Tensor], Tensor]:
    lengths = torch.tensor([7, 4, 9])
    return {"a": draw(3, 9, D), "b": draw(3, 9, D, seed=1)}, torch.arange(9) < lengths[:, None]


def test_warp_reads_between_snippets():
    own, mask = sequences_of()
    flow = draw(3, 9, seed=5)
    got = sequences.TemporalWarp.warp(own["b"], flow, mask)
    for bag, n in enumerate((7, 4, 9)):
        for t in range(n):
            at = min(max(t + float(flow[bag, t]), 0.0), n - 1)
            low = int(at)
            high = min(low + 1, n - 1)
            close(got[bag, t], (1 - at + low) * own["b"][bag, low] + (at - low) * own["b"][bag, high])


def test_temporal_warp_finds_a_delay():
    """b is a, two snippets late; the flow learns it, and nothing else moves."""
    torch.manual_seed(0)
    a = draw(8, 30, D)
    late = {"a": a, "b": torch.roll(a, 2, 1)}
    part = sequences.TemporalWarp(D, reach=3.0).double()
    mask = torch.ones(8, 30, dtype=torch.bool)
    first = float(part(late, None, mask))
    optimizer = torch.optim.Adam(part.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = part(late, None, mask)
        loss.backward()
        optimizer.step()
    flow = part.find(late["a"], late["b"], mask)
    assert float(loss) < 0.5 * first
    assert float(flow[:, 5:-5].mean()) == pytest.approx(2.0, abs=0.3)


def test_masked_prediction_of_everything():
    own, mask = sequences_of()
    torch.manual_seed(0)
    part = sequences.MaskedPrediction(D, share=1.0).double()
    got = float(part(own, None, mask))
    total = 0.0
    for m, other in (("a", "b"), ("b", "a")):
        predicted = part.net(torch.cat([part.token.expand(3, 9, D), own[other]], -1), mask)
        far = [
            1 - cos(predicted[bag, t], own[m][bag, t]) for bag in range(3) for t in range(9) if mask[bag, t]
        ]
        total += sum(far) / len(far) / 2
    assert got == pytest.approx(total)


def test_overlap_prediction_of_the_whole():
    """A stretch as long as the bag overlaps each window by the window's share of it."""
    own, mask = sequences_of()
    got = float(sequences.OverlapPrediction(n_bases=3, share=1.0, apart=0.1)(own, None, mask))
    total = 0.0
    for m, other in (("a", "b"), ("b", "a")):
        for bag, n in enumerate((7, 4, 9)):
            windows = [[t for t in range(n) if min(int(t * 3 / n), 2) == w] for w in range(3)]
            base = [unit(sum(own[other][bag, t] for t in of)[None])[0] for of in windows]
            crop = unit(sum(own[m][bag, t] for t in range(n))[None])[0]
            overlap = [len(of) / n for of in windows]
            near = [min(max(float(crop @ x), 0.0), 1 - 1e-4) for x in base]
            hit = sum(-o * math.log(max(1 - abs(o - s), 1e-4)) for o, s in zip(overlap, near, strict=True))
            between = [
                max(float(base[i] @ base[j]), 0) ** 2 if i != j else 0.0 for i in range(3) for j in range(3)
            ]
            total += (hit / sum(overlap) + 0.1 * sum(between) / 9) / 3 / 2
    assert got == pytest.approx(total)


# the objective


def test_blocks_and_regularisers_change_nothing():
    part = lambda: build_objective(
        T, 0.02, 1.0, False, dim=D, negatives=("own-group(others=0.5)", "concentration"), regularisers=("std-hinge",),
        target="soft-teacher", anchors=("similarity-schedule",),
    )  # fmt: skip
    given = {"about": about(N, 6), "about_positive": about(N, 7), "about_key": about(K, 8), "progress": 0.5}
    grads, results = [], []
    for block in (None, 2 * K):
        query = draw(N, D).requires_grad_()
        made = part()(query, draw(N, D, seed=1), draw(K, D, seed=2), block_elements=block, **given)
        total = made.row.sum() + sum(made.extra.values())
        grads.append(torch.autograd.grad(total, query)[0])
        results.append(made)
    close(results[0].row, results[1].row)
    close(grads[0], grads[1])


GIVEN = {"dim": D, "n_classes": 3, "n_domains": 3, "n_recordings": 100, "temperature": 0.07, "beta": 2.0}
PARTS = [(hook, name) for hook, known in HOOKS.items() if hook != "sequences" for name in known]


@pytest.mark.parametrize(("hook", "name"), PARTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_finite_in_half_precision(hook, name, dtype):
    """Temperature .07 and concentration 2, 16-bit embeddings, under autocast; also a row without negatives."""
    torch.manual_seed(0)
    n = 12
    base = build_objective(
        0.07, 0.0, 2.0, False, dim=D, n_classes=2, n_recordings=200,
        **({hook: (name,)} if hook not in ("similarity", "target", "row") else {hook: name}),
    )  # fmt: skip
    query, positive, key = (
        draw(m, D, seed=s).to(dtype).requires_grad_() for m, s in ((n, 0), (n, 1), (2 * n, 2))
    )
    mask = torch.rand(n, 2 * n) < 0.8
    mask[0] = False
    float32 = lambda x: x.float() if x.is_floating_point() else x
    of = [about(m, s).map(float32) for m, s in ((n, 6), (n, 7), (2 * n, 8))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = base(
            query, positive, key, mask, about=of[0], about_positive=of[1], about_key=of[2], progress=0.9
        )
        total = made.row.sum() + sum(made.extra.values())
    total.backward()
    assert made.row.dtype == torch.float32
    assert total.isfinite()
    for x in (query, positive, key, *base.parameters()):
        assert x.grad is None or x.grad.isfinite().all()
    assert query.grad is not None


@pytest.mark.parametrize("name", HOOKS["sequences"])
def test_sequences_have_finite_gradients_and_ignore_padding(name):
    own, mask = sequences_of()
    torch.manual_seed(0)
    part = make(
        "sequences", parse(f"{name}(share=1.0)" if name != "temporal-warp" else name, "sequences"), GIVEN
    )
    part = part.double() if isinstance(part, torch.nn.Module) else part
    leaves = {m: z.clone().requires_grad_() for m, z in own.items()}
    value = part(leaves, None, mask)
    value.backward()
    assert all(z.grad is not None and z.grad.isfinite().all() for z in leaves.values())
    assert all((z.grad[~mask] == 0).all() for z in leaves.values())
    longer = {m: torch.nn.functional.pad(z, (0, 0, 0, 4), value=3.0) for m, z in own.items()}
    close(part(longer, None, torch.nn.functional.pad(mask, (0, 4))), value.detach())


@pytest.mark.parametrize("n_real", [0, 1, 2])
@pytest.mark.parametrize(("hook", "name"), PARTS)
def test_batches_with_hardly_a_real_row(hook, name, n_real):
    """As a batch of bags without events makes them: finite values and gradients, also at weight 0."""
    torch.manual_seed(0)
    named = {hook: name} if hook in ("similarity", "target", "row") else {hook: (name,)}
    made = build_objective(0.2, 0.0, 1.0, False, dim=D, n_classes=3, n_recordings=200, **named).double()
    query, positive, key = (draw(m, D, seed=s).requires_grad_() for m, s in ((N, 0), (N, 1), (K, 2)))
    real = torch.arange(N) < n_real
    of = [about(m, s) for m, s in ((N, 6), (N, 7), (K, 8))]
    contrast = made(
        query * real[:, None], positive * real[:, None], key, real=real,
        about=of[0], about_positive=of[1], about_key=of[2], progress=0.9,
    )  # fmt: skip
    for weight in (1.0, 0.0):
        total = weight * sum(mean_of_rows(contrast, real, "row").values())
        assert total.isfinite()
        for x in torch.autograd.grad(total, (query, positive, key), retain_graph=True, allow_unused=True):
            assert x is None or x.isfinite().all()


def test_a_mixture_with_what_a_weight_removed_is_no_negative():
    own, of_key = about(N, 6), about(K, 8)
    made = ContrastiveObjective(
        T, transforms=(transforms.MixNegatives(),), negatives=(negative_weights.OwnGroupOnly(),)
    )
    seen = []
    made.row = lambda pairs, target, tau: (seen.append(pairs), rows.info_nce(pairs, target, tau))[1]
    made(
        draw(N, D),
        draw(N, D, seed=1),
        draw(K, D, seed=2),
        about=own,
        about_key=of_key,
        target=torch.zeros(N, K),
    )
    (p,) = seen
    for i in range(N):
        for j in range(2 * K):
            parents = (j % K, int(p.parent[j]))
            assert bool(p.mask[i, j]) == all(own.group[i] == of_key.group[x] for x in parents)


def test_what_is_counted_is_what_weights_left():
    """A row that a weight left without negatives is no part of an anchor's statistics."""
    seen = []

    def anchor(pairs, losses):
        seen.append(pairs.counts)
        return torch.ones_like(losses)

    own = About(index=torch.arange(N))
    of_key = About(index=torch.tensor([0, 0, 1, 2, 9, 9, 9, 5, 5]))
    made = ContrastiveObjective(T, negatives=(negative_weights.OwnRecordingOnly(),), anchors=(anchor,))
    made(draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2), about=own, about_key=of_key)
    assert seen[0].tolist() == [True, True, True, False, False, True]


def test_moments_of_an_event_bag_are_events_by_their_score():
    from mmcl.losses import instance_contrast
    from mmcl.losses.known import Known

    seen = []

    def look(pairs):
        seen.append(pairs.about.label)
        return torch.zeros_like(pairs.logit)

    mask = torch.ones(2, 3, dtype=torch.bool)
    value = {m: torch.tensor([[0.9, 0.1, 0.6], [0.9, 0.9, 0.9]]) for m in "ab"}
    known = Known(label=torch.tensor([2, 0]), index=torch.arange(2), value=value)
    z = {m: draw(2, 3, D, seed=s) for s, m in enumerate("ab")}
    instance_contrast(z, mask, ContrastiveObjective(T, negatives=(look,)), n_per_bag=3, known=known)
    assert sorted(seen[0].tolist()) == [0, 0, 0, 0, 2, 2]


def test_names_options_and_strangers():
    assert split_specs(["a,b(c=1, d=2)", "e"]) == ["a", "b(c=1, d=2)", "e"]
    spec = parse("std-hinge*0.5", "regularisers")
    assert (spec.name, spec.weight) == ("std-hinge", 0.5)
    assert parse("cluster-count(n_clusters=20)", "negatives").options == {"n_clusters": 20}
    stranger = make(
        "negatives", parse("mmcl.losses.negative_weights:MarginFilter(margin=0.1)", "negatives"), {}
    )
    assert stranger.margin == 0.1
    for hook, text, message in (
        ("negatives", "hardest", "expected some of concentration"),
        ("negatives", "concentration(beta)", "expected NAME"),
        ("row", "decoupled(sharp=1)", "it takes within, sigma"),
        ("negatives", "no.such:Part", "cannot be imported"),
    ):
        with pytest.raises(InputError, match=message):
            make(hook, parse(text, hook), {})


def test_a_part_says_what_it_lacks():
    with pytest.raises(InputError, match=r"own-group: needs about.group, which is not known here"):
        build_objective(T, 0.0, 0.0, False, dim=D, negatives=("own-group",))(
            draw(N, D), draw(N, D), draw(K, D)
        )
