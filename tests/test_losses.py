"""Losses, pooling and semi-bags against the loops of reference.py, then symmetry and edges."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import reference
import torch
from conftest import SHARED

from mmcl.errors import InputError
from mmcl.losses.bag import mil_loss
from mmcl.losses.contrastive import concentrated, contrast
from mmcl.losses.instance_contrast import instance_contrast
from mmcl.losses.semibag_contrast import semi_bag_contrast
from mmcl.losses.semibags import cluster, semi_bags
from mmcl.models.pooling import topk_pool

LENGTHS = [[1, 1], [1, 7, 33], [16, 15, 17, 2], [40], [3, 1, 64, 5, 9]]


def bags(lengths, n_classes=1, dim=6, seed=0, extra=0):
    g = torch.Generator().manual_seed(seed)
    n, t = len(lengths), max(lengths) + extra
    mask = torch.arange(t) < torch.tensor(lengths)[:, None]
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    real = max(lengths)
    pad = lambda x: torch.nn.functional.pad(x, (0, 0, 0, extra), value=9.0)
    logit = pad(draw(n, real, n_classes))
    z = {m: pad(draw(n, real, dim)) for m in ("a", "b")}
    score = {m: pad(draw(n, real, 1))[..., 0].sigmoid() for m in ("a", "b")}
    return logit, mask, z, score


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("divisor", [1, 4, 16])
def test_pooling_equals_loop(lengths, divisor):
    logit, mask, _, _ = bags(lengths, n_classes=3)
    torch.testing.assert_close(
        topk_pool(logit, mask, divisor), reference.topk_pool(logit, lengths, divisor), atol=1e-12, rtol=0
    )


def test_mil_equals_loop():
    g = torch.Generator().manual_seed(0)
    logit = torch.randn(5, 3, generator=g, dtype=torch.float64)
    label = (torch.rand(5, 3, generator=g) > 0.5).double()
    torch.testing.assert_close(mil_loss(logit, label), reference.mil_loss(logit, label), atol=1e-10, rtol=0)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("split", ["topk", "2-means", "3-means"])
def test_clusters_equal_loop(lengths, split):
    _, mask, _, score = bags(lengths, seed=3)
    high, low = cluster(score["a"], mask, split, 4)
    for b, n in enumerate(lengths):
        want = (
            reference.split_topk(score["a"][b], n, 4)
            if split == "topk"
            else reference.split_means(score["a"][b], n, int(split[0]), 0.1)
        )
        for picks, expected in zip((high, low), want, strict=True):
            assert sorted(picks.idx[b][picks.mask[b]].tolist()) == sorted(expected)


def test_adaptive_split_is_sensible():
    short = torch.full((1, 40), 0.1).index_fill(1, torch.tensor([7]), 0.9)
    whole = 0.9 + 0.02 * torch.rand(1, 40)
    quiet = 0.1 + 0.02 * torch.rand(1, 40)
    mask = torch.ones(1, 40, dtype=torch.bool)
    counts = [[p.count.item() for p in cluster(s, mask, "2-means")] for s in (short, whole, quiet)]
    assert counts == [[1, 39], [40, 0], [1, 39]]


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("tau", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("detach", [False, True])
def test_contrast_equals_loop(beta, tau, detach):
    g = torch.Generator().manual_seed(1)
    q, p, n = (torch.randn(k, 5, generator=g, dtype=torch.float64, requires_grad=True) for k in (4, 4, 7))
    mask = torch.rand(4, 7, generator=g) > 0.4
    mask[2] = False
    got = contrast(q, p, n, mask, temperature=0.3, beta=beta, tau=tau, detach_weights=detach)
    want = torch.stack(
        [
            reference.contrast_row(q[i], p[i], [n[j] for j in range(7) if mask[i, j]], 0.3, beta, tau, detach)
            for i in range(4)
        ]
    )
    torch.testing.assert_close(got, want, atol=1e-9, rtol=0)
    ours = torch.autograd.grad(got.sum(), (q, p, n))
    theirs = torch.autograd.grad(want.sum(), (q, p, n))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=0)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("events", ["some", "none", "all"])
@pytest.mark.parametrize("by_picks", [False, True])
def test_semi_bag_contrast_equals_loop(lengths, events, by_picks):
    _, mask, z, score = bags(lengths, seed=5)
    is_event = torch.tensor(
        [{"some": i % 2 == 0, "none": False, "all": True}[events] for i in range(len(lengths))]
    )
    parts = semi_bags(score, mask, is_event, divisor=4)
    got = semi_bag_contrast(
        z, parts, None, concentrated(0.4, 1.0, 0.05), bag_weight="picks" if by_picks else "uniform"
    )
    want = reference.semi_bag_terms(
        z, score, lengths, is_event, divisor=4, temperature=0.4, beta=1.0, tau=0.05, by_picks=by_picks
    )
    assert got.keys() == want.keys()
    for k in got:
        torch.testing.assert_close(got[k], want[k].double(), atol=1e-6, rtol=0)


def test_instance_contrast_equals_loop():
    lengths = [3, 1, 5]
    _, mask, z, _ = bags(lengths, seed=6)
    got = instance_contrast(z, mask, concentrated(0.3, 0.5), n_per_bag=8)
    rows = [(i, t) for i, n in enumerate(lengths) for t in range(n)]
    for a, b in (("a", "b"), ("b", "a")):
        want = sum(
            reference.contrast_row(z[a][r], z[b][r], [z[b][s] for s in rows if s != r], 0.3, 0.5)
            for r in rows
        ) / len(rows)
        torch.testing.assert_close(got[f"{a}->{b}/instance"], want, atol=1e-9, rtol=0)


def test_other_classes_are_negatives_and_own_class_is_not():
    _, mask, z, score = bags([4, 4, 4], seed=2)
    parts = semi_bags(score, mask, torch.tensor([True, True, True]), divisor=4)
    terms = semi_bag_contrast(z, parts, torch.tensor([0, 0, 1]), concentrated(0.5), against=("other",))
    event = {
        m: torch.stack([z[m][i, parts.event[m].idx[i][parts.event[m].mask[i]]].mean(0) for i in range(3)])
        for m in z
    }
    rows = [[2], [2], [0, 1]]
    want = (
        sum(
            reference.contrast_row(event["a"][i], event["b"][i], [event["b"][j] for j in rows[i]], 0.5)
            for i in range(3)
        )
        / 3
    )
    torch.testing.assert_close(terms["a->b/other"], want.to(terms["a->b/other"]), atol=1e-6, rtol=0)
    same = semi_bag_contrast(z, parts, torch.tensor([0, 0, 0]), against=("other",))
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
    parts = semi_bags(score, mask, data["bag_scores"] > 0.5, split="topk", divisor=16)
    terms = semi_bag_contrast(z, parts, None, concentrated(0.1), bag_weight="picks")
    for a, b in (("audio", "visual"), ("visual", "audio")):
        for kind in ("background", "normal"):
            assert abs(terms[f"{a}->{b}/{kind}"].item() - data[f"{a[0]}2{b[0]}_vs_{kind}"].item()) < 1e-5
    torch.stack(list(terms.values())).sum().backward()
    for m in z:
        assert (z[m].grad - data[f"grad_{m}"]).abs().max() < 1e-5


def test_padding_and_order_change_nothing():
    lengths = [5, 1, 33, 8]
    order = torch.tensor([2, 0, 3, 1])
    is_event = torch.tensor([True, False, True, False])
    for split in ("topk", "2-means", "3-means"):
        results = []
        for extra, permuted in ((0, False), (9, False), (0, True)):
            logit, mask, z, score = bags(lengths, extra=extra)
            event = is_event
            if permuted:
                logit, mask, event = logit[order], mask[order], is_event[order]
                z, score = {m: x[order] for m, x in z.items()}, {m: x[order] for m, x in score.items()}
            parts = semi_bags(score, mask, event, split=split, divisor=4)
            terms = semi_bag_contrast(z, parts, None, concentrated(0.2, 1.0))
            terms |= instance_contrast(z, mask, concentrated(0.2, 1.0), n_per_bag=64)
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
        terms = semi_bag_contrast(z, parts, None, concentrated(0.07, 2.0, tau))
        terms |= instance_contrast(z, mask, concentrated(0.07, 2.0, tau))
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


def test_identical_vectors_are_finite():
    x = torch.ones(3, 4, requires_grad=True)
    loss = contrast(x, x, x, temperature=0.07, beta=2.0, tau=0.3).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"beta": -1.0}, {"tau": 1.0}])
def test_contrast_refuses(bad):
    with pytest.raises(InputError, match="expected temperature > 0"):
        contrast(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3), **bad)


def test_shapes_that_do_not_match_are_told():
    with pytest.raises(InputError, match="mask: expected shape"):
        topk_pool(torch.ones(2, 3, 1), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(InputError, match="label: expected shape"):
        mil_loss(torch.ones(2, 3), torch.ones(2, 1))


@pytest.mark.parametrize(("beta", "tau", "detach"), [(0.0, 0.0, False), (1.0, 0.1, False), (2.0, 0.0, True)])
def test_blocks_change_nothing(beta, tau, detach):
    g = torch.Generator().manual_seed(0)
    draw = lambda n: torch.randn(n, 6, generator=g, dtype=torch.float64).requires_grad_()
    inputs = draw(11), draw(11), draw(17)
    mask = torch.rand(11, 17, generator=g) < 0.7
    mask[3] = False
    upstream = torch.rand(11, generator=g, dtype=torch.float64)
    results = []
    for block in (10_000, 40, 1):
        loss = contrast(
            *inputs, mask, temperature=0.1, beta=beta, tau=tau, detach_weights=detach, block_elements=block
        )
        results.append((loss, *torch.autograd.grad(loss @ upstream, inputs)))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            torch.testing.assert_close(a, b)


MEMORY = """
import sys, torch
from mmcl.losses import contrast
status = lambda name: next(int(x.split()[1]) / 1e3 for x in open("/proc/self/status") if x.startswith(name))
q, p = (torch.randn(int(sys.argv[1]), 128, requires_grad=True) for _ in range(2))
n = torch.randn(32_768, 128, requires_grad=True)
before = status("VmRSS")
contrast(q, p, n, temperature=0.1, beta=1.0, tau=0.01).sum().backward()
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_grows_with_the_negatives_not_with_the_pairs():
    """Of a fresh process, whose allocator shows what it keeps; [MB]. All pairs at once would take 6 GB."""
    peak = [
        float(
            subprocess.run(
                [sys.executable, "-c", MEMORY, str(n)], capture_output=True, text=True, check=True
            ).stdout
        )
        for n in (512, 2048)
    ]
    assert peak[1] < 900
    assert peak[1] < 1.7 * peak[0] + 100
