"""The contrast of snippets against a loop; padding, order and precision of both contrasts."""

from __future__ import annotations

import pytest
import reference
import torch
from score_bags import bags

from mmcl.losses.contrastive.functional import info_nce_objective
from mmcl.losses.contrastive.semibag import semibag_contrast
from mmcl.losses.contrastive.snippet import snippet_contrast
from mmcl.losses.mil import topk_pool
from mmcl.losses.semibags import semi_bags


def test_snippet_contrast_equals_loop():
    lengths = [3, 1, 5]
    _, mask, z, _ = bags(lengths, seed=6)
    got = snippet_contrast(z, mask, info_nce_objective(0.3, 0.5), n_per_bag=8)
    rows = [(i, t) for i, n in enumerate(lengths) for t in range(n)]
    for a, b in (("a", "b"), ("b", "a")):
        want = sum(
            reference.anchor_loss(z[a][r], z[b][r], [z[b][s] for s in rows if s != r], 0.3, 0.5) for r in rows
        ) / len(rows)
        torch.testing.assert_close(got[f"{a}->{b}/snippet"], want, atol=1e-9, rtol=0)


def test_padding_and_order_change_nothing():
    lengths = [5, 1, 33, 8]
    order = torch.tensor([2, 0, 3, 1])
    is_event = torch.tensor([True, False, True, False])
    for clustering in ("topk", "2-means", "3-means"):
        results = []
        for extra, permuted in ((0, False), (9, False), (0, True)):
            logit, mask, z, score = bags(lengths, extra=extra)
            event = is_event
            if permuted:
                logit, mask, event = logit[order], mask[order], is_event[order]
                z, score = {m: x[order] for m, x in z.items()}, {m: x[order] for m, x in score.items()}
            parts = semi_bags(score, mask, event, clustering=clustering, topk_divisor=4)
            terms = semibag_contrast(z, parts, None, info_nce_objective(0.2, 1.0))
            terms |= snippet_contrast(z, mask, info_nce_objective(0.2, 1.0), n_per_bag=64)
            pooled = topk_pool(logit, mask, 4)
            results.append((terms, pooled[order.argsort()] if permuted else pooled))
        for terms, pooled in results[1:]:
            torch.testing.assert_close(pooled, results[0][1], atol=1e-12, rtol=0)
            for k in terms:
                torch.testing.assert_close(terms[k], results[0][0][k], atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tau", [0.0, 0.1])
def test_finite_under_autocast(dtype, tau):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(16, 12, 32, generator=g, requires_grad=True)
    mask = torch.ones(16, 12, dtype=torch.bool)
    with torch.autocast("cpu", dtype=dtype):
        z = {m: x @ torch.randn(32, 16, generator=g) * 20 for m in ("a", "b")}
        score = {m: v[..., 0].float().sigmoid() for m, v in z.items()}
        parts = semi_bags(score, mask, torch.arange(16) % 2 == 0)
        terms = semibag_contrast(z, parts, None, info_nce_objective(0.07, 2.0, tau))
        terms |= snippet_contrast(z, mask, info_nce_objective(0.07, 2.0, tau))
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
