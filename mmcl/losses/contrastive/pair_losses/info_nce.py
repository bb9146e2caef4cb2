"""InfoNCE, the default."""

from __future__ import annotations

from torch import Tensor

from mmcl.losses.contrastive.context import ContrastBatch
from mmcl.losses.contrastive.info_nce import weighted_info_nce
from mmcl.losses.contrastive.weighting import log_count


class InfoNCE:
    """InfoNCE, the default.

    ``-log(exp(s_ii) / (exp(s_ii) + Ng_i))``, Ng the debiased sum of weighted negatives.

    Reference:
        van den Oord et al. 2018; tau_plus: Chuang et al., NeurIPS 2020.

    Example:
        >>> from mmcl.losses.contrastive.context import example_batch
        >>> InfoNCE()(example_batch()).shape
        torch.Size([4])
    """

    formula = r"\log(1 + e^{N_i - s_{ii}})"
    use_when = "always to compare with"
    source = "van den Oord 2018"

    requires: frozenset[str] = frozenset()

    def __call__(self, pairs: ContrastBatch, target: Tensor | None = None, tau_plus: float = 0.0) -> Tensor:
        # weights of concentration average 1, so that the sum of all weights counts a query's negatives
        log_n = log_count(pairs.mask, pairs.log_weight, pairs.positive_logit.dtype) if tau_plus > 0 else None
        return weighted_info_nce(
            pairs.positive_logit,
            pairs.logit,
            pairs.mask,
            pairs.log_weight,
            temperature=pairs.temperature,
            tau_plus=tau_plus,
            target=target,
            log_n=log_n,
        )
