"""Near negatives repel more."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.weighting import concentration


class Concentration:
    """Near negatives repel more.

    Near negatives count more: ``exp(beta s_ij)``, averaging 1 over an anchor (see ``weighting.concentration``).

    Args:
        beta: Concentration, 0 or more; 0 = all negatives count the same.
        detach: Do not differentiate through the weights.

    Reference:
        Robinson et al., ICLR 2021 [C]; Choi et al. 2023 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> Concentration()(example_batch()).shape
        torch.Size([4, 6])
    """

    formula = r"w_{ij} = e^{\beta s_{ij}} / \overline{e^{\beta s_{i\cdot}}}"
    use_when = "when few negatives are false"
    source = "Robinson 2021; Choi 2023 [C]"

    requires: frozenset[str] = frozenset()

    def __init__(self, beta: float = 1.0, detach: bool = False):
        self.beta, self.detach = beta, detach

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        return concentration(pairs.logit, pairs.mask, self.beta, self.detach, pairs.log_weight)
