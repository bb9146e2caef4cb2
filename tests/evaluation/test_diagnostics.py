"""Diagnostics against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmcl.evaluation.diagnostics import (
    alignment,
    cosine_histograms,
    effective_dimensions,
    false_negatives,
    isotropy,
    tolerance,
    uniformity,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_diagnostics_equal_loops():
    a, b = draw(6, 3), draw(6, 3, seed=1)

    def u(x):
        return x / x.norm()

    want = sum(float((u(x) - u(y)).square().sum()) for x, y in zip(a, b, strict=True)) / 6
    assert alignment(a, b).item() == pytest.approx(want)
    e = [math.exp(-2 * float((u(x) - u(y)).square().sum())) for i, x in enumerate(a) for j, y in enumerate(a) if i != j]
    assert uniformity(a).item() == pytest.approx(math.log(sum(e) / 30))
    assert uniformity(a[:1].expand(5, 3)).item() == pytest.approx(0.0, abs=1e-6)


def test_diagnostics_against_loops():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(7, 4, generator=g) for _ in range(2))
    label = torch.tensor([0, 1, 0, 2, 1, 0, 2])

    def cos(x, y):
        return float(torch.nn.functional.cosine_similarity(x, y, dim=0))

    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    same = [cos(a[i], a[j]) for i, j in pairs if label[i] == label[j]]
    assert float(tolerance(a, label)) == pytest.approx(sum(same) / len(same), abs=1e-6)
    mean = sum(cos(a[i], a[j]) for i, j in pairs) / len(pairs)
    assert float(isotropy(a)) == pytest.approx(1 - mean, abs=1e-6)
    hardest = sorted(pairs, key=lambda p: -cos(a[p[0]], b[p[1]]))[:8]

    def share(of):
        return sum(float(label[i] == label[j]) for i, j in of) / len(of)

    got = false_negatives(a, b, label, 8 / 42)
    assert list(map(float, got.values())) == pytest.approx([share(pairs), share(hardest)])
    counts = cosine_histograms({"a": a, "b": b}, torch.arange(7), 10)
    want = np.histogram([cos(a[i], b[j]) for i, j in pairs], 10, (-1, 1))[0]
    assert counts["negative cosine"].tolist() == want.tolist()
    assert float(effective_dimensions(torch.eye(4).repeat(3, 1))) == pytest.approx(3.0, abs=1e-3)
