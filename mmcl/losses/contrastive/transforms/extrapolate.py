"""Pushes pairs apart."""

from __future__ import annotations

from dataclasses import replace

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.transforms._draw import draw_beta


class Extrapolate:
    """Pushes pairs apart.

    Push the two sides of a pair apart: ``a' = l a + (1 - l) b, b' = l b + (1 - l) a``, l = 1 + Beta(alpha, alpha).

    Their inner product falls to ``2 l (1 - l) + (2 l^2 - 2 l + 1) cos``; not normalized again. Negatives stay as they
    are.

    Args:
        alpha: Of the Beta distribution.

    Reference:
        Zhu et al., "Visualizing feature transformation" (FT), ICCV 2021 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Extrapolate()(example_batch()).query.shape
        torch.Size([4, 8])
    """

    formula = r"\lambda a + (1 - \lambda) b,\quad \lambda > 1"
    use_when = "pairs are too easy"
    source = "FT [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, alpha: float = 2.0):
        self.alpha = alpha

    def __call__(self, pairs: ContrastBatch) -> ContrastBatch:
        factor = 1 + draw_beta(self.alpha, 1, pairs.query)
        a, b = pairs.query, pairs.positive
        return replace(pairs, query=factor * a + (1 - factor) * b, positive=factor * b + (1 - factor) * a)
