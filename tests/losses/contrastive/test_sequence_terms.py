"""Terms on sequences against plain loops, a closed form, or what they must reduce to."""

from __future__ import annotations

import math

import pytest
import torch
from contrast_batch import D, close, cos, draw
from torch import Tensor

from mmcl.losses.contrastive.sequence_terms.masked_prediction import MaskedPrediction
from mmcl.losses.contrastive.sequence_terms.overlap_prediction import OverlapPrediction
from mmcl.losses.contrastive.sequence_terms.temporal_warp import TemporalWarp
from mmcl.types import l2_normalize

# plain loops read single numbers of tensors that learn
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


def sequences_of() -> tuple[dict[str, Tensor], Tensor]:
    lengths = torch.tensor([7, 4, 9])
    return {"a": draw(3, 9, D), "b": draw(3, 9, D, seed=1)}, torch.arange(9) < lengths[:, None]


def test_warp_reads_between_snippets():
    own, mask = sequences_of()
    flow = draw(3, 9, seed=5)
    got = TemporalWarp.warp(own["b"], flow, mask)
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
    part = TemporalWarp(D, max_flow=3.0).double()
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
    part = MaskedPrediction(D, share=1.0).double()
    got = float(part(own, None, mask))
    total = 0.0
    for m, other in (("a", "b"), ("b", "a")):
        predicted = part.net(torch.cat([part.token.expand(3, 9, D), own[other]], -1), mask)
        far = [1 - cos(predicted[bag, t], own[m][bag, t]) for bag in range(3) for t in range(9) if mask[bag, t]]
        total += sum(far) / len(far) / 2
    assert got == pytest.approx(total)


def test_overlap_prediction_of_the_whole():
    """A stretch as long as the bag overlaps each window by the window's share of it."""
    own, mask = sequences_of()
    got = float(OverlapPrediction(n_bases=3, share=1.0, apart=0.1)(own, None, mask))
    total = 0.0
    for m, other in (("a", "b"), ("b", "a")):
        for bag, n in enumerate((7, 4, 9)):
            windows = [[t for t in range(n) if min(int(t * 3 / n), 2) == w] for w in range(3)]
            base = [l2_normalize(sum(own[other][bag, t] for t in of)[None])[0] for of in windows]
            crop = l2_normalize(sum(own[m][bag, t] for t in range(n))[None])[0]
            overlap = [len(of) / n for of in windows]
            near = [min(max(float(crop @ x), 0.0), 1 - 1e-4) for x in base]
            hit = sum(-o * math.log(max(1 - abs(o - s), 1e-4)) for o, s in zip(overlap, near, strict=True))
            between = [max(float(base[i] @ base[j]), 0) ** 2 if i != j else 0.0 for i in range(3) for j in range(3)]
            total += (hit / sum(overlap) + 0.1 * sum(between) / 9) / 3 / 2
    assert got == pytest.approx(total)
