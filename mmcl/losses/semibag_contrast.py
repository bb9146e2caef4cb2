"""Contrast of semi-bags across modalities: event meets event, and repels what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from mmcl.losses.known import Known
from mmcl.losses.objective import ContrastiveObjective, mean_of_rows
from mmcl.losses.pairs import About
from mmcl.losses.semibags import mean_of, take
from mmcl.precision import at_least_float32
from mmcl.processes import gather, pad_to_common
from mmcl.types import Picks, SemiBags

Against = Literal["background", "normal", "other"]
BagWeight = Literal["uniform", "picks"]
DOMAIN = {"event": 0, "other": 0, "background": 1, "normal": 2}  # kinds of rows, for parts that ask


def semi_bag_contrast(
    projection: Mapping[str, Tensor],
    semibags: SemiBags,
    bag_class: Tensor | None = None,
    objective: ContrastiveObjective | None = None,
    *,
    against: Sequence[Against] = ("background", "normal", "other"),
    bag_weight: BagWeight = "uniform",
    known: Known | None = None,
) -> dict[str, Tensor]:
    """One scalar term for each ordered pair of modalities and each kind of negatives.

    Query: the mean of a bag's event snippets in modality a. Positive: the same bag's in b.
    Negatives, all of b and of the whole batch on all processes: "background" or "normal" snippets,
    or "other", the event means of bags of another class; by ``objective`` (InfoNCE, if left out). A term is the
    mean over event bags, each weighing the same ("uniform", the paper) or by its number of event snippets ("picks",
    the authors' code); 0 without queries or without negatives.

    projection[m]: ``(bag, snippet, dim)``; bag_class: ``(bag,)`` int, needed for "other" (without
    it all bags are of one class, and that term is left out). known: what parts of the objective may ask for; snippets
    that are no event have label 0. Returns ``{"a->b/kind": scalar}`` and what regularisers add.
    Over several processes each returns its share, scaled so that the *mean* over processes (what
    data-parallel training takes of gradients) equals the value of one process with all bags.
    Source: MACIL-SD (arXiv 2207.05500), eq. 5 to 8.
    """
    objective, known = objective or ContrastiveObjective(), known or Known()
    event = {m: mean_of(at_least_float32(z), semibags.event[m]) for m, z in projection.items()}
    kinds = [kind for kind in against if kind != "other" or bag_class is not None]
    about = {m: _about_events(known, m, semibags.event[m]) for m in projection}
    terms: dict[str, Tensor] = {}
    for b in projection:
        for kind in kinds:
            negative, mask, about_key = _negatives(
                projection[b], event[b], semibags, b, kind, bag_class, known, about[b]
            )
            for a in projection:
                if a == b:
                    continue
                count = semibags.event[a].count
                made = objective(
                    event[a],
                    event[b],
                    negative,
                    mask,
                    real=count > 0,
                    about=about[a],
                    about_positive=about[b],
                    about_key=about_key,
                    progress=known.progress,
                )
                has_row = (count > 0) & mask.any(1)
                weight = torch.where(has_row, count if bag_weight == "picks" else 1, 0)
                terms |= mean_of_rows(made, weight, f"{a}->{b}/{kind}")
    return terms


def _about_events(known: Known, m: str, picks: Picks) -> About:
    domain = torch.full_like(picks.count, DOMAIN["event"])
    return known.about(m, lambda x: mean_of(x, picks), lambda x: x, domain)


def _negatives(
    z: Tensor,
    event: Tensor,
    semibags: SemiBags,
    m: str,
    kind: Against,
    bag_class: Tensor | None,
    known: Known,
    about_event: About,
) -> tuple[Tensor, Tensor, About]:
    """``(negative, dim)`` over all processes, the mask ``(query or 1, negative)``, and what is known of them."""
    if kind == "other":
        assert bag_class is not None
        real = gather(semibags.event[m].mask.any(1).to(z.device))
        mask = real[None, :] & (bag_class[:, None] != gather(bag_class)[None, :])
        return gather(event), mask, about_event.gathered()
    picks: Picks = getattr(semibags, kind)[m]
    shared = lambda x: gather(pad_to_common(x)).flatten(0, 1)
    taken, mask = shared(take(z, picks)), shared(picks.mask)
    repeat = lambda x: shared(x[:, None].expand(-1, picks.mask.shape[1], *x.shape[1:]).contiguous())
    domain = torch.full((len(taken),), DOMAIN[kind], device=z.device)
    about = known.about(m, lambda x: shared(take(x, picks)), repeat, domain, label=torch.zeros_like)
    return taken, rearrange(mask, "negative -> 1 negative"), about
