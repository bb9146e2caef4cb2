"""Semi-bag contrast across modalities: event attracts event, and repels background and normal snippets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from einops import rearrange
from torch import Tensor

from mmcl.distributed import all_gather_with_grad, pad_to_longest
from mmcl.errors import InputError
from mmcl.losses.checks import check_shape
from mmcl.losses.contrastive.context import BatchContext, PairMetadata
from mmcl.losses.contrastive.objective import ContrastiveObjective, mean_anchor_loss
from mmcl.losses.semibags import SemiBags, SnippetSelection, mean_of_selected, select
from mmcl.types import upcast

NegativeKind = Literal["background", "normal", "other"]
BagWeight = Literal["uniform", "snippets"]
DOMAIN = {"event": 0, "other": 0, "background": 1, "normal": 2}  # ``PairMetadata.domain`` of each kind


def semibag_contrast(
    projection: Mapping[str, Tensor],
    semibags: SemiBags,
    bag_class: Tensor | None = None,
    objective: ContrastiveObjective | None = None,
    *,
    against: Sequence[NegativeKind] = ("background", "normal", "other"),
    bag_weight: BagWeight = "uniform",
    context: BatchContext | None = None,
) -> dict[str, Tensor]:
    """Contrast semi-bags across modalities.

    Query: the mean of a bag's event snippets in modality a. Positive: the same bag's in b. Negatives, all of b and of
    the whole batch on all processes: "background" or "normal" snippets, or "other", the event means of bags of another
    class.

    Args:
        projection: ``{modality: (bag, snippet, dim)}``.
        semibags: The clusters of each modality's snippets.
        bag_class: ``(bag,)`` int, needed for "other"; without it all bags are of one class and that term is left out.
        objective: InfoNCE by default.
        against: Kinds of negatives, a term each.
        bag_weight: Each event bag counts the same ("uniform", the paper), or by its number of event snippets
            ("snippets", the authors' code).
        context: What components of the objective may read; snippets that are no event have label 0.

    Returns:
        ``{"a->b/kind": scalar}``, the mean over event bags, 0 without queries or negatives; scaled over processes as in
        ``mean_anchor_loss``.

    Raises:
        InputError: ``against`` names another kind, ``bag_weight`` another weight, or the shapes do not match.

    Reference:
        MACIL-SD (arXiv 2207.05500), eq. 5 to 8.

    Example:
        >>> from mmcl.losses import semi_bags
        >>> score = {m: torch.rand(4, 20) for m in ("audio", "visual")}
        >>> parts = semi_bags(score, torch.ones(4, 20, dtype=torch.bool), torch.tensor([True, False] * 2))
        >>> z = {m: torch.randn(4, 20, 8) for m in score}
        >>> len(semibag_contrast(z, parts))
        4
    """
    if unknown := [kind for kind in against if kind not in get_args(NegativeKind)]:
        raise InputError(f"against: expected some of {', '.join(get_args(NegativeKind))}, got {unknown[0]!r}")
    if bag_weight not in get_args(BagWeight):
        raise InputError(f"bag_weight: expected one of {', '.join(get_args(BagWeight))}, got {bag_weight!r}")
    n = len(semibags.is_event)
    n_snippets = next(iter(projection.values())).shape[1:2]
    for m, z in projection.items():
        check_shape(f"projection of {m}", z, (n, *n_snippets, "dim"))
    if bag_class is not None:
        check_shape("bag_class", bag_class, (n,))
    objective, context = objective or ContrastiveObjective(), context or BatchContext()
    event = {m: mean_of_selected(upcast(z), semibags.event[m]) for m, z in projection.items()}
    kinds = [kind for kind in against if kind != "other" or bag_class is not None]
    metadata = {m: _event_metadata(context, m, semibags.event[m]) for m in projection}
    terms: dict[str, Tensor] = {}
    for b in projection:
        for kind in kinds:
            if kind == "other":
                assert bag_class is not None
                negatives, mask = _other_classes(event[b], semibags.event[b], bag_class)
                negative_metadata = metadata[b].gathered()
            else:
                selection: SnippetSelection = getattr(semibags, kind)[b]
                negatives, mask, negative_metadata = _snippets(projection[b], selection, b, kind, context)
            for a in projection:
                if a == b:
                    continue
                count = semibags.event[a].count
                output = objective(
                    event[a],
                    event[b],
                    negatives,
                    mask,
                    valid=count > 0,
                    metadata=metadata[a],
                    positive_metadata=metadata[b],
                    negative_metadata=negative_metadata,
                    progress=context.progress,
                )
                contributes = (count > 0) & mask.any(1)
                weight = torch.where(contributes, count if bag_weight == "snippets" else 1, 0)
                terms |= mean_anchor_loss(output, weight, f"{a}->{b}/{kind}")
    return terms


def _event_metadata(context: BatchContext, modality: str, selection: SnippetSelection) -> PairMetadata:
    domain = torch.full_like(selection.count, DOMAIN["event"])
    return context.metadata(modality, lambda x: mean_of_selected(x, selection), lambda x: x, domain)


def _other_classes(event: Tensor, selection: SnippetSelection, bag_class: Tensor) -> tuple[Tensor, Tensor]:
    """``(negative, dim)`` event means of all processes, and ``(query, negative)``: those of another class."""
    valid = all_gather_with_grad(selection.mask.any(1).to(event.device))
    mask = valid[None, :] & (bag_class[:, None] != all_gather_with_grad(bag_class)[None, :])
    return all_gather_with_grad(event), mask


def _snippets(
    z: Tensor, selection: SnippetSelection, modality: str, kind: NegativeKind, context: BatchContext
) -> tuple[Tensor, Tensor, PairMetadata]:
    """``(negative, dim)`` selected snippets of all processes, ``(1, negative)`` which are real, and what is known."""

    def shared(x: Tensor) -> Tensor:
        return all_gather_with_grad(pad_to_longest(x)).flatten(0, 1)

    def repeat(x: Tensor) -> Tensor:
        return shared(x[:, None].expand(-1, selection.mask.shape[1], *x.shape[1:]).contiguous())

    negatives, mask = shared(select(z, selection)), shared(selection.mask)
    domain = torch.full((len(negatives),), DOMAIN[kind], device=z.device)
    metadata = context.metadata(
        modality, lambda x: shared(select(x, selection)), repeat, domain, label=torch.zeros_like
    )
    return negatives, rearrange(mask, "negative -> 1 negative"), metadata
