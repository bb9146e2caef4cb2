"""A margin that holds in a ball."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.regularizers._shared import masked_mean, valid_pairs


class Compactness:
    """A margin that holds in a ball.

    A pair's margin over the mean of the others is sure, even for the worst query within ``eps``: BCE of the bound to
    1.

    ``c_i = a_i . (b_i - m_i) - eps |b_i - m_i|``, m_i the mean of the other anchors' b: the minimum of the margin
    over an l2 ball about a_i.

    Args:
        eps: Radius of the ball.

    Reference:
        "POT" [C]; its bound over edge drops of a graph is this closed form for a ball.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Compactness()(example_batch()).shape
        torch.Size([])
    """

    formula = r"\mathrm{BCE}(a^\top (b - m) - \epsilon \lVert b - m \rVert,\; 1)"
    use_when = "robustness, diagnosis"
    source = "POT [C], ours"

    requires: frozenset[str] = frozenset()
    default_weight = 0.5

    def __init__(self, eps: float = 0.1):
        self.eps = eps

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        return masked_mean(softplus(-self.bound(a, b, is_valid)), is_valid)

    def bound(self, a: Tensor, b: Tensor, is_valid: Tensor) -> Tensor:
        """Smallest margin of each pair over the ball, ``(sample,)``."""
        n = is_valid.sum().clamp(min=2)
        mean = ((b * is_valid[:, None]).sum(0) - b) / (n - 1)
        away = b - mean
        return (a * away).sum(-1) - self.eps * (away.square().sum(-1) + 1e-12).sqrt()
