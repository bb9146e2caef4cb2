"""The positive leaves the denominator; `sigma`: far positives pull more; `within`: other queries repel too."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad, rank
from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.info_nce import log_sum_negatives


class DCL:
    """The positive leaves the denominator; `sigma`: far positives pull more; `within`: other queries repel too.

    The positive is no part of what it is compared with: ``-w_i s_ii + log sum_j exp(s_ij + g_ij)``.

    Least sensitive to small batches.

    Args:
        within: The other queries are negatives too.
        sigma: None, or ``w_i = 2 - N softmax_i(cos_ii / sigma)`` over all N anchors, so that far positives attract
            more (DCLW: 0.5).

    Reference:
        Yeh et al., "Decoupled contrastive learning", ECCV 2022 [C].

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> DCL()(example_batch()).shape
        torch.Size([4])
    """

    formula = r"-w_i s_{ii} + \log \sum_j e^{s_{ij}}"
    use_when = "small batches"
    source = "DCL, DCLW [C]"

    requires: frozenset[str] = frozenset()

    needs_full_batch = True

    def __init__(self, within: bool = False, sigma: float | None = None):
        self.within, self.sigma = within, sigma

    def __call__(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        logit, mask, weight = pairs.logit, pairs.mask, pairs.log_weight
        if self.within:
            others, number = all_gather_with_grad(pairs.query), torch.arange(len(logit), device=logit.device)
            own = number + rank() * len(number)
            valid = (
                torch.ones(len(logit), dtype=torch.bool, device=logit.device) if pairs.valid is None else pairs.valid
            )
            apart = (own[:, None] != torch.arange(len(others), device=logit.device)) & all_gather_with_grad(valid)
            logit = torch.cat([logit, pairs.query @ others.T / pairs.temperature], 1)
            weight = None if weight is None else torch.cat([weight, weight.new_zeros(apart.shape)], 1)
            mask = torch.cat([mask, apart], 1)
        log_sum, has_any = log_sum_negatives(logit, mask, weight)
        scale = 1.0 if self.sigma is None else self._pull(pairs, self.sigma)
        return torch.where(has_any, log_sum - scale * pairs.positive_logit, 0.0)

    @staticmethod
    def _pull(pairs: ContrastBatch, sigma: float) -> Tensor:
        cosine = (pairs.query * pairs.positive).sum(-1).detach() / sigma
        contributes = pairs.has_negatives
        cosines = torch.where(all_gather_with_grad(contributes), all_gather_with_grad(cosine), -torch.inf)
        return 2 - all_gather_with_grad(contributes).sum() * torch.where(
            contributes, (cosine - cosines.logsumexp(0)).exp(), 0.0
        )
