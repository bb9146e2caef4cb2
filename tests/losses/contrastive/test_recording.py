"""The contrast of recordings against loops."""

from __future__ import annotations

import pytest
import reference
import torch

from mmcl.losses import recording_contrast
from mmcl.losses.contrastive.functional import info_nce_objective
from mmcl.losses.contrastive.memory_bank import BankedNegatives


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("tau", [0.0, 0.03])
@pytest.mark.parametrize("has_teacher", [False, True])
def test_recording_contrast_equals_loop(beta, tau, has_teacher):
    """Two views, a memory bank with an empty place and an old encoding of a recording of the batch."""
    n = 5
    z = {"a": draw(2 * n, 6).requires_grad_(), "b": draw(2 * n, 6, seed=1).requires_grad_()}
    index = torch.arange(n).repeat(2)
    teacher = {m: draw(2 * n, 6, seed=s) for m, s in (("a", 8), ("b", 9))} if has_teacher else z
    memory = {m: draw(4, 6, seed=s) for m, s in (("a", 2), ("b", 3))}
    memory_index = torch.tensor([7, -1, 2, 9])
    got = recording_contrast(
        z, index, info_nce_objective(0.3, beta, tau), views=2, within=0.5,
        bank=BankedNegatives(memory_index, memory), teacher=teacher if has_teacher else None,
    )  # fmt: skip
    want = {}
    for a in z:
        for b in z:
            rows = []
            for i in range(2 * n):
                negatives = [teacher[b][j] for j in range(2 * n) if index[j] != index[i]]
                negatives += [memory[b][j] for j in range(4) if memory_index[j] not in (-1, int(index[i]))]
                positive = teacher[b][(i + n) % (2 * n)] if a == b else teacher[b][i]
                rows.append(reference.anchor_loss(z[a][i], positive, negatives, 0.3, beta, tau))
            name, weight = (f"{a}->{a}/views", 0.5) if a == b else (f"{a}->{b}/recording", 1.0)
            want[name] = weight * torch.stack(rows).mean()
    assert got.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, atol=1e-9, rtol=1e-9)
    for ours, theirs in zip(
        *(torch.autograd.grad(sum(t.values()), list(z.values()), retain_graph=True) for t in (got, want))
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


def test_recordings_that_lack_a_modality_take_no_part():
    z = {m: draw(6, 4, seed=s) for s, m in enumerate("ab")}
    index = torch.tensor([0, 1, -1, 3, -1, 5])
    got = recording_contrast(z, index, info_nce_objective(0.5, 1.0))
    has_label = index >= 0
    want = recording_contrast({m: v[has_label] for m, v in z.items()}, index[has_label], info_nce_objective(0.5, 1.0))
    for name, value in want.items():
        torch.testing.assert_close(got[name], value)
