"""What a component declares and returns is checked: a shape that broadcasts would be a wrong loss without a word."""

from __future__ import annotations

import pytest
import torch

from mmcl.errors import InputError
from mmcl.losses.contrastive.components import declared
from mmcl.losses.contrastive.objective import ContrastiveObjective

N, K, D = 4, 6, 8


class Misspelt:
    """Requires what no batch has."""

    requires = frozenset({"label"})


@pytest.mark.parametrize(
    ("slot", "component", "message"),
    [
        ("negatives", [lambda batch: torch.zeros(N, 1)], r"expected to return the shape \(4, 6\), got \(4, 1\)"),
        ("target", lambda batch: torch.zeros(K), r"expected to return the shape \(4, 6\), got \(6,\)"),
        ("pair_loss", lambda batch, target, tau_plus: torch.zeros(N, 1), r"shape \(4,\), got \(4, 1\)"),
        ("anchor_weights", [lambda batch, loss: torch.ones(N, 1)], r"shape \(4,\), got \(4, 1\)"),
        ("regularizers", [("spread", 1.0, lambda batch: torch.zeros(N))], r"shape \(\), got \(4,\)"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(slot, component, message):
    objective = ContrastiveObjective(0.1, **{slot: component})
    with pytest.raises(InputError, match=message):
        objective(torch.randn(N, D), torch.randn(N, D), torch.randn(K, D))


def test_requirements_that_no_batch_has_are_refused():
    with pytest.raises(InputError, match="requires 'label'; expected some of auxiliary, domain, groups, index, labels"):
        declared("negatives", [f"{__name__}:Misspelt"], "requires")
