"""The fast dropout is a dropout."""

from __future__ import annotations

import pytest
import torch

from mmcl.models.dropout import Dropout, dropout


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(100_001,), (40, 50, 51), (3,)])
def test_dropout(p, shape):
    """Shares, scale, reproducibility, gradient; neighbours are independent."""
    x = torch.full(shape, 2.0, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    y = dropout(x, p)
    torch.manual_seed(3)
    assert torch.equal(y, dropout(x, p))
    values = y.detach().unique()
    assert all(v == 0 or abs(v - 2 / (1 - p)) < 1e-3 for v in values)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad * 2, y.detach())
    n = y.numel()
    if n > 1000:
        dropped = (y.detach() == 0).flatten().double()
        se = (p * (1 - p) / n) ** 0.5
        assert abs(dropped.mean() - p) < 4 * se + 2**-17
        for gap in (1, 2, 3, 4):  # four share a draw
            both = (dropped[gap:] * dropped[:-gap]).mean()
            assert abs(both - p * p) < 5 * (p * p / n) ** 0.5 + 2**-16


def test_no_dropout_in_evaluation():
    x = torch.ones(10)
    assert torch.equal(Dropout(0.9).eval()(x), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros(10))
