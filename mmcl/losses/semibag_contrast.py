"""Contrast of semi-bags across modalities: event meets event, and repels what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from mmcl.losses.contrastive import contrast
from mmcl.losses.semibags import mean_of, take
from mmcl.precision import at_least_float32
from mmcl.processes import gather, n_processes, pad_to_common, total
from mmcl.types import Picks, SemiBags

Negatives = Literal["background", "normal", "other"]
BagWeight = Literal["uniform", "picks"]


def semi_bag_contrast(
    projection: Mapping[str, Tensor],
    semibags: SemiBags,
    bag_class: Tensor | None = None,
    *,
    negatives: Sequence[Negatives] = ("background", "normal", "other"),
    temperature: float = 0.1,
    beta: float = 0.0,
    tau: float = 0.0,
    detach_weights: bool = False,
    bag_weight: BagWeight = "uniform",
) -> dict[str, Tensor]:
    """One scalar term for each ordered pair of modalities and each kind of negatives.

    Query: the mean of a bag's event snippets in modality a. Positive: the same bag's in b.
    Negatives, all of b and of the whole batch on all processes: "background" or "normal" snippets,
    or "other", the event means of bags of another class. A term is the mean over event bags,
    each weighing the same ("uniform", the paper) or by its number of event snippets ("picks", the
    authors' code); 0 without queries or without negatives.

    projection[m]: ``(bag, snippet, dim)``; bag_class: ``(bag,)`` int, needed for "other" (without
    it all bags are of one class, and that term is left out). Returns ``{"a->b/kind": scalar}``.
    Over several processes each returns its share, scaled so that the *mean* over processes (what
    data-parallel training takes of gradients) equals the value of one process with all bags.
    Source: MACIL-SD (arXiv 2207.05500), eq. 5 to 8, with the weights of ``contrast``.
    """
    event = {m: mean_of(at_least_float32(z), semibags.event[m]) for m, z in projection.items()}
    kinds = [kind for kind in negatives if kind != "other" or bag_class is not None]
    terms = {}
    for b in projection:
        for kind in kinds:
            negative, mask = _negatives(projection[b], event[b], semibags, b, kind, bag_class)
            for a in projection:
                if a == b:
                    continue
                losses = contrast(
                    event[a],
                    event[b],
                    negative,
                    mask,
                    temperature=temperature,
                    beta=beta,
                    tau=tau,
                    detach_weights=detach_weights,
                )
                terms[f"{a}->{b}/{kind}"] = _mean(losses, semibags.event[a], mask, bag_weight)
    return terms


def _negatives(
    z: Tensor, event: Tensor, semibags: SemiBags, m: str, kind: Negatives, bag_class: Tensor | None
) -> tuple[Tensor, Tensor]:
    """``(negative, dim)`` over all processes and the mask ``(query or 1, negative)``."""
    if kind == "other":
        assert bag_class is not None
        real = gather(semibags.event[m].mask.any(1).to(z.device))
        return gather(event), real[None, :] & (bag_class[:, None] != gather(bag_class)[None, :])
    picks: Picks = getattr(semibags, kind)[m]
    taken = gather(pad_to_common(take(z, picks)))
    mask = gather(pad_to_common(picks.mask))
    return rearrange(taken, "bag pick dim -> (bag pick) dim"), rearrange(mask, "bag pick -> 1 (bag pick)")


def _mean(losses: Tensor, picks: Picks, mask: Tensor, bag_weight: BagWeight) -> Tensor:
    has_row = (picks.count > 0) & mask.any(1)
    weight = torch.where(has_row, picks.count if bag_weight == "picks" else 1, 0).to(losses.dtype)
    n = total(weight.sum())
    return (weight * losses).sum() / n.clamp(min=1) * n_processes()
