"""Contrast of whole recordings: the two modalities of one recording are a positive pair."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.losses.false_negatives import as_target, log_weight
from mmcl.losses.known import Known
from mmcl.losses.objective import ContrastiveObjective, mean_of_rows
from mmcl.losses.pairs import About
from mmcl.processes import gather


def pair_contrast(
    z: Mapping[str, Tensor],
    index: Tensor,
    objective: ContrastiveObjective | None = None,
    *,
    views: int = 1,
    within: float = 0.0,
    keys: Mapping[str, Tensor] | None = None,
    memory: Mapping[str, Tensor] | None = None,
    memory_index: Tensor | None = None,
    memory_group: Tensor | None = None,
    same: Tensor | None = None,
    mined: float = 0.0,
    known: Known | None = None,
) -> dict[str, Tensor]:
    """One scalar term for each ordered pair of modalities, and within each when there are two views.

    z[m]: ``(row, dim)``, a row a recording, view after view (``views`` times the batch). index:
    ``(row,)``, which recording, -1 = not to take part (it lacks a stream). Query: a row in modality a; positive: the same row in b; negatives: the
    rows of other recordings in b, of the batch on all processes and of ``memory`` (``(key, dim)`` each,
    with ``memory_index``, -1 = empty, and ``memory_group``), by ``objective`` (InfoNCE, if left out). within: weight of the terms a -> a,
    whose positive is the recording's other view. keys: what positives and negatives are, shaped as z; the
    queries themselves if left out. With a memory they must come from what made it, the teacher: else
    queries learn to tell old encodings from new ones, and collapse.

    same: ``(row, key)`` in [0, 1], keys being the batch's rows of all processes, then memory: how sure it
    is that two are of one class (``false_negatives``). A negative counts the less the surer that is,
    before concentration weighs it; ``mined`` of a row's attraction goes to such keys instead. known: what parts of the
    objective may ask for, a "snippet" a recording; of what lies in the memory nothing is known but its number and group.

    Returns ``{"a->b/pair": scalar, "a->a/views": scalar}``, scaled over processes as in
    ``semi_bag_contrast``. Source: Choi, Beedu and Essa 2023 (arXiv 2309.01262).
    """
    objective, known = objective or ContrastiveObjective(), known or Known()
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
    half = n // 2
    swap = lambda x: torch.cat([x[half:], x[:half]])
    stream = {m: torch.full_like(index, i) for i, m in enumerate(z)}
    about = {m: known.about(m, lambda x: x[:, 0], lambda x: x, stream[m]) for m in z}
    terms: dict[str, Tensor] = {}
    for b, positive in (z if keys is None else keys).items():
        met, about_key = gather(positive), about[b].gathered()
        if memory is not None:
            met = torch.cat([met, memory[b].to(met.dtype)])
            both = about_key.group is not None and memory_group is not None
            groups = torch.cat([about_key.group, memory_group]) if both else None  # type: ignore[list-item]
            about_key = About(index=every, group=groups)
        for a, query in z.items():
            if a == b and (within == 0 or views < 2):
                continue
            made = objective(
                query,
                swap(positive) if a == b else positive,
                met,
                other,
                real=real,
                about=about[a],
                about_positive=about[b].map(swap) if a == b else about[b],
                about_key=about_key,
                progress=known.progress,
                log_weight=weight,
                target=target,
            )
            named = mean_of_rows(made, real, f"{a}->{b}/pair" if a != b else f"{a}->{a}/views")
            terms |= named if a != b else {k: within * v for k, v in named.items()}
    return terms
