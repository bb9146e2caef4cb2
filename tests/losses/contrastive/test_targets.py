"""Targets against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import math

import pytest
from contrast_batch import D, K, N, T, contrast_batch, cos, draw, metadata, negatives_of

from mmcl.losses.contrastive.objective import ContrastiveObjective
from mmcl.losses.contrastive.targets.soft_teacher import SoftTeacher
from mmcl.losses.contrastive.targets.supcon import SupCon

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def test_supcon_shares_the_attraction():
    query, positive, key = draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2)
    own, of_key = metadata(N, 6), metadata(K, 8)
    got = ContrastiveObjective(T, target=SupCon())(
        query, positive, key, metadata=own, negative_metadata=of_key
    ).anchor_loss
    for i in range(N):
        s = [cos(query[i], key[j]) / T for j in range(K)]
        total = sum(math.exp(x) for x in s)
        of = [cos(query[i], positive[i]) / T, *(s[j] for j in range(K) if own.label[i] == of_key.label[j])]
        want = sum(math.log(1 + total / math.exp(x)) for x in of) / len(of)
        assert float(got[i]) == pytest.approx(want, rel=1e-8)


def test_soft_teacher():
    p = contrast_batch()
    got = SoftTeacher(0.6, 0.2)(p)
    for i in range(N):
        of = negatives_of(p, i)
        power = {j: math.exp(cos(p.metadata.teacher[i], p.negative_metadata.teacher[j]) / 0.2) for j in of}
        total = sum(power.values()) + math.exp(cos(p.metadata.teacher[i], p.positive_metadata.teacher[i]) / 0.2)
        for j in range(K):
            assert float(got[i, j]) == pytest.approx(0.6 * power[j] / total if j in of else 0.0, abs=1e-9)
