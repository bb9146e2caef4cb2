"""Similarities against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import math

import pytest
import torch
from contrast_batch import D, K, N, T, close, contrast_batch, cos, draw
from torch import Tensor

from mmcl.losses.contrastive.objective import ContrastiveObjective
from mmcl.losses.contrastive.similarities.class_gate import ClassGate
from mmcl.losses.contrastive.similarities.learnable_temperature import LearnableTemperature
from mmcl.losses.contrastive.similarities.multi_head import MultiHead
from mmcl.losses.contrastive.similarities.routed import Routed

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def test_one_head_at_a_fixed_temperature_is_the_cosine():
    part = MultiHead(D, n_heads=1, low=T, high=T).double()
    part.heads[0] = torch.nn.Identity()
    p = contrast_batch()
    close(part(p.query, p.negatives, p.metadata, p.negative_metadata), p.logit)
    close(part.paired(p.query, p.positive, p.metadata, p.positive_metadata), p.positive_logit)
    assert float(part.penalty(p).detach()) == pytest.approx(0.1 * (D / 2 * math.log(T) + 1 / T))


def test_multi_head_sums_heads_with_temperatures_of_their_own():
    torch.manual_seed(0)
    part = MultiHead(D, n_heads=2, hidden=8).double()
    torch.nn.init.normal_(part.bilinear)
    part.requires_grad_(False)
    p = contrast_batch()
    got, own = (
        part(p.query, p.negatives, p.metadata, p.negative_metadata),
        part.paired(p.query, p.positive, p.metadata, p.positive_metadata),
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
            assert float(got[i, j]) == pytest.approx(one(p.query[i], p.negatives[j]))


def test_class_gate():
    torch.manual_seed(0)
    part = ClassGate(D, 3, T).double().requires_grad_(False)
    p = contrast_batch()
    got = part(p.query, p.negatives, p.metadata, p.negative_metadata)
    own = part.paired(p.query, p.positive, p.metadata, p.positive_metadata)

    def one(x, y, a, b):
        e = part.embedding.weight
        g = torch.sigmoid(part.gate((e[a] + e[b]) / 2))
        return float(((x * g) * (y * g)).sum() / T)

    for i in range(N):
        a = p.metadata.label[i]
        assert float(own[i]) == pytest.approx(one(p.query[i], p.positive[i], a, p.positive_metadata.label[i]))
        for j in range(K):
            assert float(got[i, j]) == pytest.approx(one(p.query[i], p.negatives[j], a, p.negative_metadata.label[j]))


def test_routed_experts():
    torch.manual_seed(0)
    part = Routed(D, 3, T).double()
    p = contrast_batch()
    close(part(p.query, p.negatives, p.metadata, p.negative_metadata), p.logit)  # experts begin at nothing
    torch.nn.init.normal_(part.expert)
    got = part(p.query, p.negatives, p.metadata, p.negative_metadata)

    def move(x, d):
        return x + part.expert[d] @ x

    for i in range(N):
        for j in range(K):
            want = (
                cos(
                    move(p.query[i], p.metadata.domain[i]),
                    move(p.negatives[j], p.negative_metadata.domain[j]),
                )
                / T
            )
            assert float(got[i, j]) == pytest.approx(want)


def test_learnable_temperature_learns():
    part = LearnableTemperature(T).double()
    p = contrast_batch()
    close(part(p.query, p.negatives, p.metadata, p.negative_metadata), p.logit, 1e-6)
    output = ContrastiveObjective(T, similarity=part)(draw(N, D), draw(N, D, seed=1), draw(K, D, seed=2))
    output.anchor_loss.sum().backward()
    assert part.log.grad is not None
    assert float(part.log.grad.abs()) > 0
