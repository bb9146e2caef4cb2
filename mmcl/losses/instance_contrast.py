"""Contrast of simultaneous snippets: the two modalities of one moment are a positive pair."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.losses.contrastive import contrast
from mmcl.processes import gather, n_processes, pad_to_common, rank, total


def instance_contrast(
    projection: Mapping[str, Tensor],
    mask: Tensor,
    *,
    n_per_bag: int = 32,
    temperature: float = 0.1,
    beta: float = 0.0,
    tau: float = 0.0,
    detach_weights: bool = False,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """One scalar term for each ordered pair of modalities; needs no labels and no scores.

    Query: a snippet in modality a. Positive: the same snippet in b. Negatives: all other drawn
    snippets of b, in the whole batch on all processes, weighted by concentration. ``n_per_bag``
    snippets of each bag are drawn without replacement (all, where it has fewer).

    projection[m]: ``(bag, snippet, dim)``; mask: ``(bag, snippet)``. Returns ``{"a->b/instance":
    scalar}``, scaled over processes as in ``semi_bag_contrast``.
    Source: Choi, Beedu and Essa 2023 (arXiv 2309.01262), with snippets for recordings.
    """
    lottery = torch.rand(mask.shape, device=mask.device, generator=generator).masked_fill(~mask, 2.0)
    drawn = lottery.argsort(1)[:, :n_per_bag]
    real = pad_to_common(mask.gather(1, drawn)).flatten()
    drawn = pad_to_common(drawn)
    rows = {
        m: z.gather(1, drawn[..., None].expand(-1, -1, z.shape[-1])).flatten(0, 1)
        for m, z in projection.items()
    }
    number = torch.arange(len(real), device=mask.device)
    own = number + rank() * len(number)
    every = gather(real)
    other = every[None, :] & (own[:, None] != torch.arange(len(every), device=mask.device))
    n = total(real.sum()).clamp(min=1)
    terms = {}
    for b, z in rows.items():
        negative = gather(z)
        for a in rows:
            if a != b:
                losses = contrast(
                    rows[a],
                    z,
                    negative,
                    other,
                    temperature=temperature,
                    beta=beta,
                    tau=tau,
                    detach_weights=detach_weights,
                )
                terms[f"{a}->{b}/instance"] = (losses * real).sum() / n * n_processes()
    return terms
