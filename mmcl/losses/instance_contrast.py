"""Contrast of simultaneous snippets: the two modalities of one moment are a positive pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mmcl.losses.known import Known
from mmcl.losses.objective import ContrastiveObjective, mean_of_rows
from mmcl.losses.pairs import About
from mmcl.processes import gather, pad_to_common, rank


def _of_moments(about: About) -> About:
    """A bag's label is that of the moments that its stream's own score calls an event; others have none (0). Where no score
    is known nothing is."""
    if about.label is None or about.value is None:
        return replace(about, label=None)
    event = about.value > 0.5
    label = about.label * (event if about.label.ndim == 1 else event[:, None])
    return replace(about, label=label.to(about.label.dtype))


def instance_contrast(
    projection: Mapping[str, Tensor],
    mask: Tensor,
    objective: ContrastiveObjective | None = None,
    *,
    n_per_bag: int = 32,
    known: Known | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """One scalar term for each ordered pair of modalities; needs no labels and no scores.

    Query: a snippet in modality a. Positive: the same snippet in b. Negatives: all other drawn
    snippets of b, in the whole batch on all processes, by ``objective`` (InfoNCE, if left out). ``n_per_bag``
    snippets of each bag are drawn without replacement (all, where it has fewer).

    projection[m]: ``(bag, snippet, dim)``; mask: ``(bag, snippet)``. known: what parts of the objective may ask for.
    Returns ``{"a->b/instance": scalar}`` and what regularisers add, scaled over processes as in ``semi_bag_contrast``.
    Source: Choi, Beedu and Essa 2023 (arXiv 2309.01262), with snippets for recordings.
    """
    objective, known = objective or ContrastiveObjective(), known or Known()
    lottery = torch.rand(mask.shape, device=mask.device, generator=generator).masked_fill(~mask, 2.0)
    drawn = lottery.argsort(1)[:, :n_per_bag]
    real = pad_to_common(mask.gather(1, drawn)).flatten()
    drawn = pad_to_common(drawn)
    take = lambda z: z.gather(1, drawn[..., None].expand(-1, -1, z.shape[-1])).flatten(0, 1)
    repeat = lambda x: x.repeat_interleave(drawn.shape[1], dim=0)
    rows = {m: take(z) for m, z in projection.items()}
    stream = {m: torch.full_like(real, i, dtype=torch.long) for i, m in enumerate(projection)}
    about = {m: known.about(m, take, repeat, stream[m]) for m in projection}
    if mask.shape[1] > 1:
        about = {m: _of_moments(of) for m, of in about.items()}
    number = torch.arange(len(real), device=mask.device)
    own = number + rank() * len(number)
    every = gather(real)
    other = every[None, :] & (own[:, None] != torch.arange(len(every), device=mask.device))
    terms: dict[str, Tensor] = {}
    for b, z in rows.items():
        negative, about_key = gather(z), about[b].gathered()
        for a in rows:
            if a != b:
                made = objective(
                    rows[a],
                    z,
                    negative,
                    other,
                    real=real,
                    about=about[a],
                    about_positive=about[b],
                    about_key=about_key,
                    progress=known.progress,
                )
                terms |= mean_of_rows(made, real, f"{a}->{b}/instance")
    return terms
