"""The contrastive formula as a function: attract a positive, repel negatives weighted by concentration.

With unit vectors, s = cosine / temperature, N negatives j of query i::

    w_ij   = exp(beta s_ij) / mean_j exp(beta s_ij)                                concentration weights
    Ng_i   = max((sum_j w_ij exp(s_ij) - N tau_plus exp(s_ii)) / (1 - tau_plus),   debiased by the class prior
                 N exp(-1 / temperature))
    loss_i = -log(exp(s_ii) / (exp(s_ii) + Ng_i))

beta = tau_plus = 0 is InfoNCE.
"""

from __future__ import annotations

from torch import Tensor

from mmcl.errors import InputError
from mmcl.losses.contrastive.negatives.concentration import Concentration
from mmcl.losses.contrastive.objective import ContrastiveObjective


def contrastive_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.1,
    beta: float = 0.0,
    tau_plus: float = 0.0,
    detach_weights: bool = False,
    log_weight: Tensor | None = None,
    target: Tensor | None = None,
    max_pairs: int | None = None,
) -> Tensor:
    """Loss of each query against its own positive and a shared set of negatives.

    Computed in float32 at least, also under autocast, for half precision overflows at low temperatures. Memory grows
    with the negatives, not with the pairs: above ``max_pairs`` queries are computed in chunks.

    Args:
        query: ``(query, dim)``; no embedding needs unit length.
        positive: ``(query, dim)``, sample i is the positive of query i.
        negatives: ``(negative, dim)``.
        mask: ``(negative,)`` or ``(query, negative)`` bool, True = a negative (of that query).
        temperature: Divides the cosine, above 0.
        beta: Concentration on near negatives, 0 or more.
        tau_plus: Class prior, the probability in [0, 1) that a negative is a positive in truth.
        detach_weights: Do not differentiate through the concentration weights.
        log_weight: ``(query, negative)``, how much each negative counts besides, 0 = as it is, -inf = not at all.
        target: ``(query, negative)``, see ``weighted_info_nce``.
        max_pairs: Pairs computed at once, ``MAX_PAIRS_PER_CHUNK`` by default.

    Returns:
        ``(query,)``; 0 for a query without negatives.

    Raises:
        InputError: temperature, beta or tau_plus is out of its range.

    Reference:
        van den Oord et al. 2018 (InfoNCE); Chuang et al., NeurIPS 2020 (tau_plus); Robinson et al., ICLR 2021 (beta);
        Choi et al. 2023 (both, across modalities).

    Example:
        >>> import torch
        >>> contrastive_loss(torch.randn(3, 8), torch.randn(3, 8), torch.randn(5, 8), beta=1.0).shape
        torch.Size([3])
    """
    if temperature <= 0 or beta < 0 or not 0 <= tau_plus < 1:
        raise InputError(
            f"contrastive_loss: expected temperature > 0, beta >= 0, 0 <= tau_plus < 1, got "
            f"{temperature}, {beta}, {tau_plus}"
        )
    objective = info_nce_objective(temperature, beta, tau_plus, detach_weights)
    output = objective(query, positive, negatives, mask, log_weight=log_weight, target=target, max_pairs=max_pairs)
    return output.anchor_loss


def info_nce_objective(
    temperature: float = 0.1, beta: float = 0.0, tau_plus: float = 0.0, detach_weights: bool = False
) -> ContrastiveObjective:
    """The objective of that formula, with concentration as its only component.

    Args:
        temperature: Divides the cosine, above 0.
        beta: Concentration on near negatives, 0 or more.
        tau_plus: Class prior.
        detach_weights: Do not differentiate through the concentration weights.

    Example:
        >>> len(info_nce_objective(0.2, beta=1.0).negatives)
        1
    """
    negatives = (Concentration(beta, detach_weights),) if beta > 0 else ()
    return ContrastiveObjective(temperature, tau_plus, negatives=negatives)
