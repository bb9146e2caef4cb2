"""Splits dimensions into common and events' own."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.losses.contrastive.context import ContrastBatch, require
from mmcl.losses.contrastive.regularizers._shared import (
    log_mean_kernel,
    masked_mean,
    squared_distances,
    valid_pairs,
)


class CommonSalient:
    """Splits dimensions into common and events' own.

    Half of the dimensions are common to all anchors, the other half salient of events; neither may tell the other.

    With y = 1 for events (metadata.label > 0) and s, c the halves: ``common (align + 2 unif)(c) + target (align + 2
    unif)(s | y = 1) + background mean |s|^2 (y = 0) + joint mean_i log mean_j K(c_i, c_j) K(s_i, s_j)``, ``align = |x
    - y|^2 / 2t``, ``unif = log mean exp(-d^2 / 2t)``.

    Args:
        common: Weight of the common half.
        target: Weight of the salient half of events.
        background: Weight of the salient half of the rest.
        joint: Weight of the independence of the halves.
        t: Of the kernel.

    Reference:
        Louiset et al., "SepCLR", ICLR 2024 [C]; a background's salient half goes to 0.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> CommonSalient()(example_batch()).shape
        torch.Size([])
    """

    formula = (
        r"\alpha (A + 2 U)(c) + \beta (A + 2 U)(s \mid y = 1) + \gamma \overline{\lVert s \rVert^2}_{y = 0} "
        r"+ \delta\, \overline{\log \overline{K(c_i, c_j) K(s_i, s_j)}}"
    )
    use_when = "normal against target"
    source = "SepCLR [C]"

    requires = frozenset({"labels"})
    default_weight = 0.05

    def __init__(
        self,
        common: float = 1.0,
        target: float = 1.0,
        background: float = 1.0,
        joint: float = 1.0,
        t: float = 0.5,
    ):
        self.common, self.target, self.background, self.joint, self.t = common, target, background, joint, t

    def __call__(self, pairs: ContrastBatch) -> Tensor:
        a, b, is_valid = valid_pairs(pairs)
        label = all_gather_with_grad(require(pairs.metadata.label, "common-salient", "metadata.label"))
        event = (label > 0 if label.ndim == 1 else label.sum(1) > 0).to(a.dtype) * is_valid
        half, k = a.shape[1] // 2, 1 / (2 * self.t)
        (c_a, s_a), (c_b, s_b) = ((z[:, :half], z[:, half:]) for z in (a, b))

        def spread(x, y, w):
            return log_mean_kernel(x, w, k) + log_mean_kernel(y, w, k)

        def term(x, y, w):
            return k * masked_mean((x - y).square().sum(-1), w) + spread(x, y, w)

        empty = masked_mean((s_a.square().sum(-1) + s_b.square().sum(-1)) / 2, is_valid - event)
        both = torch.where(
            is_valid[:, None] * is_valid[None, :] > 0,
            -k * (squared_distances(c_a) + squared_distances(s_a)),
            -torch.inf,
        )
        joint = masked_mean(
            torch.where(is_valid > 0, torch.where(is_valid[:, None] > 0, both, 0.0).logsumexp(1), 0.0)
            - is_valid.sum().clamp(min=1).log(),
            is_valid,
        )
        return (
            self.common * term(c_a, c_b, is_valid)
            + self.target * term(s_a, s_b, event)
            + self.background * empty
            + self.joint * joint
        )
