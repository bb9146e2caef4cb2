"""Snippet contrast: the two modalities of one moment are a positive pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mmcl.distributed import all_gather_with_grad, pad_to_longest, rank
from mmcl.losses.checks import check_shape
from mmcl.losses.contrastive.context import BatchContext, PairMetadata
from mmcl.losses.contrastive.objective import ContrastiveObjective, mean_anchor_loss


def snippet_contrast(
    projection: Mapping[str, Tensor],
    mask: Tensor,
    objective: ContrastiveObjective | None = None,
    *,
    n_per_bag: int = 32,
    context: BatchContext | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Contrast simultaneous snippets across modalities; needs neither labels nor scores.

    Query: a snippet in modality a. Positive: the same snippet in b. Negatives: all other sampled snippets of b, in the
    whole batch on all processes.

    Args:
        projection: ``{modality: (bag, snippet, dim)}``.
        mask: ``(bag, snippet)`` bool, True = real.
        objective: InfoNCE by default.
        n_per_bag: Snippets sampled from each bag without replacement (all, where it has fewer).
        context: What components of the objective may read.
        generator: Of the sampling.

    Returns:
        ``{"a->b/snippet": scalar}`` of each ordered pair of modalities, and what regularizers add; scaled over
        processes as in ``mean_anchor_loss``.

    Raises:
        InputError: The shapes do not match.

    Reference:
        Choi, Beedu and Essa 2023 (arXiv 2309.01262), with snippets for recordings.

    Example:
        >>> z = {m: torch.randn(2, 5, 8) for m in ("audio", "visual")}
        >>> sorted(snippet_contrast(z, torch.ones(2, 5, dtype=torch.bool)))
        ['audio->visual/snippet', 'visual->audio/snippet']
    """
    check_shape("mask", mask, ("bag", "snippet"), is_bool=True)
    for m, z in projection.items():
        check_shape(f"projection of {m}", z, (*mask.shape, "dim"))
    objective, context = objective or ContrastiveObjective(), context or BatchContext()
    lottery = torch.rand(mask.shape, device=mask.device, generator=generator).masked_fill(~mask, 2.0)
    sampled = lottery.argsort(1)[:, :n_per_bag]
    valid = pad_to_longest(mask.gather(1, sampled)).flatten()
    sampled = pad_to_longest(sampled)

    def select(z: Tensor) -> Tensor:
        return z.gather(1, sampled[..., None].expand(-1, -1, z.shape[-1])).flatten(0, 1)

    def repeat(x: Tensor) -> Tensor:
        return x.repeat_interleave(sampled.shape[1], dim=0)

    embeddings = {m: select(z).masked_fill(~valid[:, None], 0) for m, z in projection.items()}
    metadata = {}
    for i, m in enumerate(projection):
        domain = torch.full_like(valid, i, dtype=torch.long)
        metadata[m] = context.metadata(m, select, repeat, domain)
        if mask.shape[1] > 1:
            metadata[m] = _label_of_snippets(metadata[m])
    number = torch.arange(len(valid), device=mask.device)
    own = number + rank() * len(number)
    all_valid = all_gather_with_grad(valid)
    other = all_valid[None, :] & (own[:, None] != torch.arange(len(all_valid), device=mask.device))
    terms: dict[str, Tensor] = {}
    for b, z in embeddings.items():
        negatives, negative_metadata = all_gather_with_grad(z), metadata[b].gathered()
        for a in embeddings:
            if a == b:
                continue
            output = objective(
                embeddings[a],
                z,
                negatives,
                other,
                valid=valid,
                metadata=metadata[a],
                positive_metadata=metadata[b],
                negative_metadata=negative_metadata,
                progress=context.progress,
            )
            terms |= mean_anchor_loss(output, valid, f"{a}->{b}/snippet")
    return terms


def _label_of_snippets(metadata: PairMetadata) -> PairMetadata:
    """A bag's label holds for the snippets that its modality's own score calls an event; others have none (0). Where no
    score is known, no label is."""
    if metadata.label is None or metadata.value is None:
        return replace(metadata, label=None)
    event = metadata.value > 0.5
    label = metadata.label * (event if metadata.label.ndim == 1 else event[:, None])
    return replace(metadata, label=label.to(metadata.label.dtype))
