"""Objectives of the contrasts from their settings, and what their components read of a batch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmcl.config.loss_schema import ContrastConfig, LossConfig
from mmcl.losses.contrastive.components import build_objective
from mmcl.losses.contrastive.context import BatchContext
from mmcl.losses.contrastive.objective import ContrastiveObjective
from mmcl.losses.contrastive.recording import mean_over_snippets
from mmcl.losses.mil import to_score
from mmcl.types import Bags, ModelOutput, upcast


def objective_of(config: ContrastConfig, dim: int, n_classes: int, n_recordings: int) -> ContrastiveObjective:
    """The objective that a contrast's settings name.

    Example:
        >>> objective_of(ContrastConfig(weight=1.0, tau_plus=0.1), 8, 2, 10).tau_plus
        0.1
    """
    return build_objective(
        config.temperature,
        config.tau_plus,
        config.beta,
        config.detach_weights,
        dim=dim,
        n_classes=n_classes,
        n_recordings=n_recordings,
        negatives=config.negatives,
        target=config.target,
        pair_loss=config.pair_loss,
        similarity=config.similarity,
        transforms=config.transforms,
        anchor_weights=config.anchor_weights,
        regularizers=config.regularizers,
    )


@torch.no_grad()
def batch_context(
    output: ModelOutput, bags: Bags, loss: LossConfig, teacher: ModelOutput | None, progress: float
) -> BatchContext:
    """What components of an objective may read: labels where there are any, recordings, groups, each modality's
    embedding before projection, the teacher's projections, and each modality's own highest score."""
    label: Tensor | None = None
    if loss.mil.weight > 0:
        label = bags.label[:, 0].long() if bags.label.shape[1] == 1 else bags.label
        if loss.mil.multiclass:  # an unlabelled bag is of a class of its own
            label = torch.where(bags.label.sum(1) > 0, bags.label.argmax(1) + 1, -1 - bags.index)
    scores = {m: to_score(upcast(v), loss.mil.multiclass).amax(-1) for m, v in output.logit.items()}
    unimodal = {m: upcast(v) for m, v in (output.unimodal_embedding or output.embedding).items()}
    of_teacher = {} if teacher is None else {m: upcast(v) for m, v in teacher.projection.items()}
    value = scores if loss.mil.weight > 0 else {}
    return BatchContext(label, bags.index, bags.group, unimodal, of_teacher, value, progress)


def context_of_recordings(context: BatchContext, mask: Tensor) -> BatchContext:
    """The context with recordings for bags of one snippet each."""

    def mean(by_modality: dict[str, Tensor]) -> dict[str, Tensor]:
        return {m: v[:, None] for m, v in mean_over_snippets(by_modality, mask).items()}

    value = mean({m: v[..., None] for m, v in context.value.items()})
    return replace(
        context,
        auxiliary=mean(dict(context.auxiliary)),
        teacher=mean(dict(context.teacher)),
        value={m: v[..., 0] for m, v in value.items()},
    )
