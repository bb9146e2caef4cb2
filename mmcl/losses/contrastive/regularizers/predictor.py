"""Predicts the other side."""

from __future__ import annotations

from torch import Tensor, nn

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import masked_mean, valid_pairs
from mmcl.types import l2_normalize


class Predictor(nn.Module):
    """Predicts the other side.

    Without negatives: each side predicts the other's constant, ``2 - 2 cos(MLP(a), b)`` and the other way round.

    Args:
        dim: Size of the embeddings.
        hidden: Size of the hidden layer.

    Reference:
        SiamLIP of Fini et al. [C], after SimSiam.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Predictor(8)(example_batch()).shape
        torch.Size([])
    """

    formula = r"2 - 2 \cos(p(a), b)"
    use_when = "no negatives wanted"
    source = "clip-rocket [C]"

    requires: frozenset[str] = frozenset()
    default_weight = 0.1

    def __init__(self, dim: int, hidden: int = 64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)

        def one(x, y):
            return 2 - 2 * (l2_normalize(self.net(x)) * y.detach()).sum(-1)

        return masked_mean((one(a, b) + one(b, a)) / 2, is_valid)
