"""Weights of negatives against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from contrast_batch import D, K, N, T, close, contrast_batch, cos, draw, metadata, negatives_of

from mmcl.losses.contrastive.context import ContrastBatch, PairMetadata
from mmcl.losses.contrastive.negatives.cluster_count import ClusterCount
from mmcl.losses.contrastive.negatives.concentration import Concentration
from mmcl.losses.contrastive.negatives.confidence import Confidence
from mmcl.losses.contrastive.negatives.exclude_same_label import ExcludeSameLabel
from mmcl.losses.contrastive.negatives.learned_weight import LearnedWeight
from mmcl.losses.contrastive.negatives.margin_filter import MarginFilter
from mmcl.losses.contrastive.negatives.propensity import Propensity
from mmcl.losses.contrastive.negatives.within_cluster import WithinCluster
from mmcl.losses.contrastive.negatives.within_group import WithinGroup
from mmcl.losses.contrastive.negatives.within_recording import WithinRecording
from mmcl.losses.contrastive.objective import ContrastiveObjective
from mmcl.losses.contrastive.targets.label_overlap import LabelOverlap

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def test_concentration_is_in_the_formula():
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    part = Concentration(1.5)
    got = ContrastiveObjective(T, 0.05, negatives=(part,))(query, positive, key).anchor_loss
    close(got, [reference.anchor_loss(query[i], positive[i], list(key), T, 1.5, 0.05) for i in range(N)])


def test_cluster_count_parts_what_lies_apart():
    """Two tight clumps: within one never a negative, across always counted whole."""
    centre = torch.eye(D, dtype=torch.float64)[:2]
    own, key = centre[[0, 0, 1]], centre[[0, 1, 1, 0]]
    p = contrast_batch(3, 4)
    p = ContrastBatch(
        **{
            **vars(p),
            "positive_metadata": PairMetadata(auxiliary=own),
            "negative_metadata": PairMetadata(auxiliary=key),
        }
    )
    torch.manual_seed(0)
    got = ClusterCount(n_clusters=4, n_clusterings=6)(p)
    same = torch.tensor([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], dtype=torch.bool)
    close(got.exp(), (~same).double(), 1e-5)


def test_learned_weight():
    torch.manual_seed(0)
    p = contrast_batch()
    part = LearnedWeight(D).double()
    got = part(p).detach()
    for i in range(1, N):
        w = {
            j: float(torch.sigmoid(part.second(torch.tanh(part.first(p.query[i] + p.negatives[j]))))[0].detach())
            for j in negatives_of(p, i)
        }
        mean = sum(w.values()) / len(w)
        for j, value in w.items():
            assert float(got[i, j]) == pytest.approx(math.log(value / mean), abs=1e-9)


@pytest.mark.parametrize("margin", [0.2, None])
def test_margin_filter(margin):
    p = contrast_batch()
    got = MarginFilter(margin, 0.95)(p)
    for i in range(N):
        own = cos(p.query[i], p.positive[i])
        for j in range(K):
            keep = cos(p.query[i], p.negatives[j]) < (own - margin if margin else 0.95 * own)
            assert (got[i, j] == 0) == keep
            assert (got[i, j] == -math.inf) == (not keep)


def test_within_cluster():
    centre = torch.eye(D, dtype=torch.float64)[:2]
    own, key = centre[[0, 0, 1]], centre[[0, 1, 1, 0]]
    p = contrast_batch(3, 4)
    p = ContrastBatch(
        **{
            **vars(p),
            "positive_metadata": PairMetadata(auxiliary=own),
            "negative_metadata": PairMetadata(auxiliary=key),
        }
    )
    torch.manual_seed(0)
    got = WithinCluster(n_clusters=4)(p)
    assert (got[:, [1, 2]][[0, 1]] == -math.inf).all()  # never across
    assert (got[2, [0, 3]] == -math.inf).all()


def test_confidence():
    p = contrast_batch()
    got = Confidence(3.0)(p)
    alone = Confidence()(
        ContrastBatch(
            **{
                **vars(p),
                "metadata": PairMetadata(value=p.metadata.value),
                "negative_metadata": PairMetadata(value=p.negative_metadata.value),
            }
        )
    )
    for i in range(N):
        for j in range(K):
            p_same = max(cos(p.metadata.teacher[i], p.negative_metadata.teacher[j]), 0.0) ** 3
            assert float(got[i, j].exp()) == pytest.approx(1 - p_same, abs=1e-9)
            assert float(alone[i, j].exp()) == pytest.approx(
                1 - float(p.metadata.value[i] * p.negative_metadata.value[j]), abs=1e-9
            )


def test_propensity():
    p = contrast_batch()
    got = Propensity()(p).exp()
    for i in range(1, N):
        of = negatives_of(p, i)
        ratio = [
            (1.05 + cos(p.query[i], p.negatives[j]))
            / (1.05 + cos(p.positive_metadata.auxiliary[i], p.negative_metadata.auxiliary[j]))
            for j in of
        ]
        mean = sum(ratio) / len(of)
        for j, r in zip(of, ratio, strict=True):
            assert float(got[i, j]) == pytest.approx(r / mean, rel=1e-8)


def test_same_label_group_and_recording():
    p = contrast_batch()
    label, group = ExcludeSameLabel()(p), WithinGroup()(p)
    weak = WithinGroup(0.1)(p)
    index = (
        PairMetadata(index=torch.tensor([0, 1, 2, 3, 4, 5])),
        PairMetadata(index=torch.tensor([0, 0, 1, 2, 9, 9, 9, 5, 5])),
    )
    own = WithinRecording()(ContrastBatch(**{**vars(p), "metadata": index[0], "negative_metadata": index[1]}))
    for i in range(N):
        for j in range(K):
            assert float(label[i, j].exp()) == float(p.metadata.label[i] != p.negative_metadata.label[j])
            same_group = bool(p.metadata.group[i] == p.negative_metadata.group[j])
            alone = not any(p.metadata.group[i] == p.negative_metadata.group[x] for x in negatives_of(p, i))
            assert float(group[i, j].exp()) == float(same_group or alone)  # a row alone keeps all
            assert float(weak[i, j].exp()) == pytest.approx(1.0 if same_group or alone else 0.1)
            assert float(own[i, j].exp()) == float(index[0].index[i] == index[1].index[j])


def test_overlapping_labels_count_in_part():
    p = contrast_batch()
    g = torch.Generator().manual_seed(0)
    y, y_key = (torch.randint(0, 2, (n, 4), generator=g) for n in (N, K))
    p = ContrastBatch(**{**vars(p), "metadata": PairMetadata(label=y), "negative_metadata": PairMetadata(label=y_key)})
    got, target = ExcludeSameLabel()(p).exp(), LabelOverlap()(p)
    for i in range(N):
        f = {}
        for j in range(K):
            a, b = ({c for c in range(4) if z[c]} for z in (y[i], y_key[j]))
            f[j] = len(a & b) / len(a | b) if a | b else 1.0
            assert float(got[i, j]) == pytest.approx(1 - f[j], abs=1e-6)
        of = negatives_of(p, i)
        for j in range(K):
            assert float(target[i, j]) == pytest.approx(f[j] / (1 + sum(f[x] for x in of)) if j in of else 0.0)


def test_weights_add_up_in_order():
    """Concentration looks at what the weights before it left."""
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    own, of_key = metadata(N, 6), metadata(K, 8)
    got = ContrastiveObjective(T, negatives=(WithinGroup(), Concentration(2.0)))(
        query, positive, key, metadata=own, negative_metadata=of_key
    ).anchor_loss
    assert set(own.group.tolist()) <= set(of_key.group.tolist())
    want = [
        reference.anchor_loss(
            query[i], positive[i], [key[j] for j in range(K) if own.group[i] == of_key.group[j]], T, 2.0
        )
        for i in range(N)
    ]
    close(got, want)
