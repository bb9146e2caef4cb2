"""Recording contrast: the two modalities of one recording are a positive pair."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad
from mmcl.errors import InputError
from mmcl.losses.checks import check_shape
from mmcl.losses.contrastive.context import BatchContext, PairMetadata
from mmcl.losses.contrastive.false_negatives import log_weight, pseudo_positive_target
from mmcl.losses.contrastive.memory_bank import BankedNegatives
from mmcl.losses.contrastive.objective import ContrastiveObjective, mean_anchor_loss
from mmcl.types import upcast


def recording_contrast(
    z: Mapping[str, Tensor],
    index: Tensor,
    objective: ContrastiveObjective | None = None,
    *,
    views: int = 1,
    within: float = 0.0,
    teacher: Mapping[str, Tensor] | None = None,
    bank: BankedNegatives | None = None,
    same_class: Tensor | None = None,
    pseudo_positives: float = 0.0,
    context: BatchContext | None = None,
) -> dict[str, Tensor]:
    """Contrast whole recordings across modalities, and two views of them within each.

    Query: a recording in modality a. Positive: the same in b. Negatives: other recordings in b, of the batch on all
    processes and of the bank.

    Args:
        z: ``{modality: (sample, dim)}``, a sample a recording, view after view (``views`` times the batch).
        index: ``(sample,)`` int, which recording; -1 = not to take part, since it lacks a modality.
        objective: InfoNCE by default.
        views: Views of each recording in the batch.
        within: Weight of the terms a -> a, whose positive is the recording's other view.
        teacher: What positives and negatives are, shaped as z; the queries themselves by default. With a bank they must
            come from the teacher that filled it: queries would otherwise learn to tell old embeddings from new ones.
        bank: Negatives of earlier batches.
        same_class: ``(sample, negative)`` in [0, 1], the batch of all processes, then the bank: how sure it is that two
            are of one class. A negative counts the less the surer that is, before concentration weighs it.
        pseudo_positives: Share of a query's attraction that goes to those of the same class.
        context: What components of the objective may read, a "snippet" a recording. Of what is in the bank nothing is
            known but its index and group.

    Returns:
        ``{"a->b/recording": scalar, "a->a/views": scalar}``, scaled over processes as in ``mean_anchor_loss``.

    Raises:
        InputError: The shapes do not match.

    Reference:
        Choi, Beedu and Essa 2023 (arXiv 2309.01262).

    Example:
        >>> z = {m: torch.randn(4, 8) for m in ("skeleton", "inertial")}
        >>> sorted(recording_contrast(z, torch.arange(4)))
        ['inertial->skeleton/recording', 'skeleton->inertial/recording']
    """
    for m, x in z.items():
        check_shape(f"z of {m}", x, (len(index), "dim"))
    if within > 0 and views > 2:
        raise InputError(f"views: expected 1 or 2 with terms within a modality, got {views}")
    if len(index) % views:
        raise InputError(f"index: expected {views} views of each recording, got {len(index)} samples")
    objective, context = objective or ContrastiveObjective(), context or BatchContext()
    half = len(index) // 2
    candidates = all_gather_with_grad(index)
    if bank is not None:
        candidates = torch.cat([candidates, bank.index])
    other = (candidates[None, :] != index[:, None]) & (candidates >= 0)
    weight = target = None
    if same_class is not None:
        check_shape("same_class", same_class, tuple(other.shape))
        same_class = same_class.masked_fill(~other, 0.0)
        weight = log_weight(same_class)
        target = pseudo_positive_target(same_class, pseudo_positives) if pseudo_positives > 0 else None
    valid = index >= 0

    def swap_views(x: Tensor) -> Tensor:
        return torch.cat([x[half:], x[:half]])

    metadata = {
        m: context.metadata(m, lambda x: x[:, 0], lambda x: x, torch.full_like(index, i)) for i, m in enumerate(z)
    }
    terms: dict[str, Tensor] = {}
    for b, positive in (z if teacher is None else teacher).items():
        negatives, negative_metadata = all_gather_with_grad(positive), metadata[b].gathered()
        if bank is not None:
            negatives = torch.cat([negatives, bank.embeddings[b].to(negatives.dtype)])
            groups = None
            if negative_metadata.group is not None and bank.group is not None:
                groups = torch.cat([negative_metadata.group, bank.group])
            negative_metadata = PairMetadata(index=candidates, group=groups)
        for a, query in z.items():
            if a == b and (within == 0 or views < 2):
                continue
            output = objective(
                query,
                swap_views(positive) if a == b else positive,
                negatives,
                other,
                valid=valid,
                metadata=metadata[a],
                positive_metadata=metadata[b].map(swap_views) if a == b else metadata[b],
                negative_metadata=negative_metadata,
                progress=context.progress,
                log_weight=weight,
                target=target,
            )
            if a == b:
                named = mean_anchor_loss(output, valid, f"{a}->{a}/views")
                terms |= {k: within * v for k, v in named.items()}
            else:
                terms |= mean_anchor_loss(output, valid, f"{a}->{b}/recording")
    return terms


def mean_over_snippets(embedding: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """Embeddings of recordings: the mean over the real snippets of each.

    Args:
        embedding: ``{modality: (bag, snippet, dim)}``.
        mask: ``(bag, snippet)`` bool, True = real.

    Returns:
        ``{modality: (bag, dim)}``.

    Example:
        >>> mean_over_snippets({"a": torch.tensor([[[1.0], [3.0], [9.0]]])}, torch.tensor([[True, True, False]]))
        {'a': tensor([[2.]])}
    """
    weight = mask[..., None].float()
    n = weight.sum(1).clamp(min=1)
    return {m: (upcast(z) * weight).sum(1) / n for m, z in embedding.items()}
