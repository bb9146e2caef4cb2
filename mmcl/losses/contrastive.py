"""The one contrastive formula: attract a positive, repel negatives weighted by concentration.

With unit vectors, s = cosine / temperature, N negatives j of query i::

    w_ij   = exp(beta s_ij) / mean_j exp(beta s_ij)                      concentration weights
    Ng_i   = max((sum_j w_ij exp(s_ij) - N tau exp(s_ii)) / (1 - tau),   debiased by the class prior
                 N exp(-1 / temperature))
    loss_i = -log(exp(s_ii) / (exp(s_ii) + Ng_i))

beta = tau = 0 is InfoNCE. Sources: van den Oord et al. 2018 (InfoNCE); Chuang et al., NeurIPS 2020
(tau); Robinson et al., ICLR 2021 (beta); Choi et al. 2023 (both, across modalities).
"""

from __future__ import annotations

from torch import Tensor

from mmcl.errors import InputError
from mmcl.losses.negative_weights import Concentration
from mmcl.losses.objective import ContrastiveObjective


def contrast(
    query: Tensor,
    positive: Tensor,
    negative: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.1,
    beta: float = 0.0,
    tau: float = 0.0,
    detach_weights: bool = False,
    log_weight: Tensor | None = None,
    target: Tensor | None = None,
    block_elements: int | None = None,
) -> Tensor:
    """Loss of each query against its own positive and a shared set of negatives.

    query, positive: ``(query, dim)``; negative: ``(negative, dim)``, none needs unit length. mask:
    ``(negative,)`` or ``(query, negative)`` bool, True = a real negative (of that query). log_weight:
    ``(query, negative)``, how much each negative counts besides its concentration, 0 = as it is, -inf =
    not at all. target: ``(query, negative)``, see ``weighted_info_nce``.
    temperature: > 0. beta: concentration, >= 0. tau: class prior, probability in [0, 1) that a
    negative is a positive in truth. Returns ``(query,)``. Computed in float32 at least, also under
    autocast, for half precision overflows at low temperatures. Above ``WHOLE`` pairs (or
    ``block_elements``) the queries are worked off in blocks that are computed again for the gradient, so
    that memory grows with the negatives, not with the pairs.
    """
    if temperature <= 0 or beta < 0 or not 0 <= tau < 1:
        raise InputError(
            f"contrast: expected temperature > 0, beta >= 0, 0 <= tau < 1, got {temperature}, {beta}, {tau}"
        )
    made = concentrated(temperature, beta, tau, detach_weights)
    return made(
        query, positive, negative, mask, log_weight=log_weight, target=target, block_elements=block_elements
    ).row


def concentrated(
    temperature: float = 0.1, beta: float = 0.0, tau: float = 0.0, detach_weights: bool = False
) -> ContrastiveObjective:
    """The objective of that formula: concentration alone."""
    negatives = (Concentration(beta, detach_weights),) if beta > 0 else ()
    return ContrastiveObjective(temperature, tau, negatives=negatives)
