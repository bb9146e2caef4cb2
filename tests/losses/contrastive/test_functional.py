"""The contrastive formula against a loop, its edges, chunks and memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import reference
import torch

from mmcl.errors import InputError
from mmcl.losses.contrastive.functional import contrastive_loss


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("tau", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("detach", [False, True])
def test_contrast_equals_loop(beta, tau, detach):
    g = torch.Generator().manual_seed(1)
    q, p, n = (torch.randn(k, 5, generator=g, dtype=torch.float64, requires_grad=True) for k in (4, 4, 7))
    mask = torch.rand(4, 7, generator=g) > 0.4
    mask[2] = False
    got = contrastive_loss(q, p, n, mask, temperature=0.3, beta=beta, tau_plus=tau, detach_weights=detach)
    want = torch.stack(
        [
            reference.anchor_loss(q[i], p[i], [n[j] for j in range(7) if mask[i, j]], 0.3, beta, tau, detach)
            for i in range(4)
        ]
    )
    torch.testing.assert_close(got, want, atol=1e-9, rtol=0)
    ours = torch.autograd.grad(got.sum(), (q, p, n))
    theirs = torch.autograd.grad(want.sum(), (q, p, n))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=0)


def test_identical_vectors_are_finite():
    x = torch.ones(3, 4, requires_grad=True)
    loss = contrastive_loss(x, x, x, temperature=0.07, beta=2.0, tau_plus=0.3).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"beta": -1.0}, {"tau_plus": 1.0}])
def test_contrast_refuses(bad):
    with pytest.raises(InputError, match="expected temperature > 0"):
        contrastive_loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3), **bad)


@pytest.mark.parametrize(("beta", "tau", "detach"), [(0.0, 0.0, False), (1.0, 0.1, False), (2.0, 0.0, True)])
def test_chunks_change_nothing(beta, tau, detach):
    g = torch.Generator().manual_seed(0)

    def draw(n):
        return torch.randn(n, 6, generator=g, dtype=torch.float64).requires_grad_()

    inputs = draw(11), draw(11), draw(17)
    mask = torch.rand(11, 17, generator=g) < 0.7
    mask[3] = False
    upstream = torch.rand(11, generator=g, dtype=torch.float64)
    results = []
    for max_pairs in (10_000, 40, 1):
        loss = contrastive_loss(
            *inputs,
            mask,
            temperature=0.1,
            beta=beta,
            tau_plus=tau,
            detach_weights=detach,
            max_pairs=max_pairs,
        )
        results.append((loss, *torch.autograd.grad(loss @ upstream, inputs)))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            torch.testing.assert_close(a, b)


MEMORY = """
import sys, torch
from mmcl.losses import contrastive_loss
status = lambda name: next(int(x.split()[1]) / 1e3 for x in open("/proc/self/status") if x.startswith(name))
q, p = (torch.randn(int(sys.argv[1]), 128, requires_grad=True) for _ in range(2))
n = torch.randn(32_768, 128, requires_grad=True)
before = status("VmRSS")
contrastive_loss(q, p, n, temperature=0.1, beta=1.0, tau_plus=0.01).sum().backward()
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_grows_with_the_negatives_not_with_the_pairs():
    """Of a fresh process, whose allocator shows what it keeps; [MB]. All pairs at once would take 1.5 GB."""
    peak = [
        float(subprocess.run([sys.executable, "-c", MEMORY, str(n)], capture_output=True, text=True, check=True).stdout)
        for n in (256, 1024)
    ]
    assert peak[1] < 900
    assert peak[1] < 1.7 * peak[0] + 100
