"""Pooling and losses of bags against loops."""

from __future__ import annotations

import pytest
import reference
import torch
from score_bags import LENGTHS, bags

from mmcl.errors import InputError
from mmcl.losses.mil import mil_loss, topk_pool


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("topk_divisor", [1, 4, 16])
def test_pooling_equals_loop(lengths, topk_divisor):
    logit, mask, _, _ = bags(lengths, n_classes=3)
    torch.testing.assert_close(
        topk_pool(logit, mask, topk_divisor), reference.topk_pool(logit, lengths, topk_divisor), atol=1e-12, rtol=0
    )


def test_mil_equals_loop():
    g = torch.Generator().manual_seed(0)
    logit = torch.randn(5, 3, generator=g, dtype=torch.float64)
    label = (torch.rand(5, 3, generator=g) > 0.5).double()
    torch.testing.assert_close(mil_loss(logit, label), reference.mil_loss(logit, label), atol=1e-10, rtol=0)


def test_shapes_that_do_not_match():
    with pytest.raises(InputError, match="mask: expected shape"):
        topk_pool(torch.ones(2, 3, 1), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(InputError, match="label: expected shape"):
        mil_loss(torch.ones(2, 3), torch.ones(2, 1))
