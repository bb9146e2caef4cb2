"""The contrast of semi-bags against loops and the authors' worked example."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from conftest import SHARED
from score_bags import LENGTHS, bags

from mmcl.losses.contrastive.functional import info_nce_objective
from mmcl.losses.contrastive.semibag import semibag_contrast
from mmcl.losses.semibags import semi_bags


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("events", ["some", "none", "all"])
@pytest.mark.parametrize("by_snippets", [False, True])
def test_semibag_contrast_equals_loop(lengths, events, by_snippets):
    _, mask, z, score = bags(lengths, seed=5)
    is_event = torch.tensor([{"some": i % 2 == 0, "none": False, "all": True}[events] for i in range(len(lengths))])
    parts = semi_bags(score, mask, is_event, topk_divisor=4)
    got = semibag_contrast(
        z, parts, None, info_nce_objective(0.4, 1.0, 0.05), bag_weight="snippets" if by_snippets else "uniform"
    )
    want = reference.semi_bag_terms(
        z, score, lengths, is_event, topk_divisor=4, temperature=0.4, beta=1.0, tau=0.05, by_snippets=by_snippets
    )
    assert got.keys() == want.keys()
    for k in got:
        torch.testing.assert_close(got[k], want[k].double(), atol=1e-6, rtol=0)


def test_other_classes_are_negatives_and_own_class_is_not():
    _, mask, z, score = bags([4, 4, 4], seed=2)
    parts = semi_bags(score, mask, torch.tensor([True, True, True]), topk_divisor=4)
    terms = semibag_contrast(z, parts, torch.tensor([0, 0, 1]), info_nce_objective(0.5), against=("other",))
    event = {
        m: torch.stack([z[m][i, parts.event[m].idx[i][parts.event[m].mask[i]]].mean(0) for i in range(3)]) for m in z
    }
    rows = [[2], [2], [0, 1]]
    want = (
        sum(
            reference.anchor_loss(event["a"][i], event["b"][i], [event["b"][j] for j in rows[i]], 0.5) for i in range(3)
        )
        / 3
    )
    torch.testing.assert_close(terms["a->b/other"], want.to(terms["a->b/other"]), atol=1e-6, rtol=0)
    same = semibag_contrast(z, parts, torch.tensor([0, 0, 0]), against=("other",))
    assert all(v.item() == 0 for v in same.values())


def test_authors_worked_example():
    """MACIL-SD's own terms and gradients, its choices switched on (bags weigh by picks)."""
    path = SHARED / "macil_sd" / "contrastive.npz"
    if not path.exists():
        pytest.skip("the authors' worked example is not here")
    data = {k: torch.from_numpy(np.asarray(v)) for k, v in np.load(path).items()}
    z = {m: data[f"{m}_embeddings"].requires_grad_() for m in ("audio", "visual")}
    mask = torch.arange(50) < data["lengths"][:, None]
    score = {m: data[f"{m}_scores"] for m in z}
    parts = semi_bags(score, mask, data["bag_scores"] > 0.5, clustering="topk", topk_divisor=16)
    terms = semibag_contrast(z, parts, None, info_nce_objective(0.1), bag_weight="snippets")
    for a, b in (("audio", "visual"), ("visual", "audio")):
        for kind in ("background", "normal"):
            assert abs(terms[f"{a}->{b}/{kind}"].item() - data[f"{a[0]}2{b[0]}_vs_{kind}"].item()) < 1e-5
    torch.stack(list(terms.values())).sum().backward()
    for m in z:
        assert (z[m].grad - data[f"grad_{m}"]).abs().max() < 1e-5
