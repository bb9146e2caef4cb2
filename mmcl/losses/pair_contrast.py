"""Contrast of whole recordings: the two modalities of one recording are a positive pair."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.losses.contrastive import contrast
from mmcl.losses.false_negatives import as_target, log_weight
from mmcl.processes import gather, n_processes, total


def pair_contrast(
    z: Mapping[str, Tensor],
    index: Tensor,
    *,
    views: int = 1,
    within: float = 0.0,
    keys: Mapping[str, Tensor] | None = None,
    memory: Mapping[str, Tensor] | None = None,
    memory_index: Tensor | None = None,
    same: Tensor | None = None,
    mined: float = 0.0,
    temperature: float = 0.1,
    beta: float = 0.0,
    tau: float = 0.0,
    detach_weights: bool = False,
) -> dict[str, Tensor]:
    """One scalar term for each ordered pair of modalities, and within each when there are two views.

    z[m]: ``(row, dim)``, a row a recording, view after view (``views`` times the batch). index:
    ``(row,)``, which recording, -1 = not to take part (it lacks a stream). Query: a row in modality a; positive: the same row in b; negatives: the
    rows of other recordings in b, of the batch on all processes and of ``memory`` (``(key, dim)`` each,
    with ``memory_index``, -1 = empty), weighted by concentration. within: weight of the terms a -> a,
    whose positive is the recording's other view. keys: what positives and negatives are, shaped as z; the
    queries themselves if left out. With a memory they must come from what made it, the teacher: else
    queries learn to tell old encodings from new ones, and collapse.

    same: ``(row, key)`` in [0, 1], keys being the batch's rows of all processes, then memory: how sure it
    is that two are of one class (``false_negatives``). A negative counts the less the surer that is,
    before concentration weighs it; ``mined`` of a row's attraction goes to such keys instead.

    Returns ``{"a->b/pair": scalar, "a->a/views": scalar}``, scaled over processes as in
    ``semi_bag_contrast``. Source: Choi, Beedu and Essa 2023 (arXiv 2309.01262).
    """
    n = len(index)
    every = gather(index)
    if memory is not None and memory_index is not None:
        every = torch.cat([every, memory_index])
    other = (every[None, :] != index[:, None]) & (every >= 0)
    weight = target = None
    if same is not None:
        same = same.masked_fill(~other, 0.0)
        weight = log_weight(same)
        target = as_target(same, mined) if mined > 0 else None
    real = index >= 0
    n_rows = total(real.sum()).clamp(min=1)
    half = n // 2
    terms = {}
    for b, positive in (z if keys is None else keys).items():
        met = gather(positive)
        if memory is not None:
            met = torch.cat([met, memory[b].to(met.dtype)])
        for a, query in z.items():
            if a == b and (within == 0 or views < 2):
                continue
            other_view = torch.cat([positive[half:], positive[:half]]) if a == b else positive
            losses = contrast(
                query,
                other_view,
                met,
                other,
                temperature=temperature,
                beta=beta,
                tau=tau,
                detach_weights=detach_weights,
                log_weight=weight,
                target=target,
            )
            term = torch.where(real, losses, 0.0).sum() / n_rows * n_processes()
            terms[f"{a}->{b}/pair" if a != b else f"{a}->{a}/views"] = term if a != b else within * term
    return terms
