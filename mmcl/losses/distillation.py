"""Distillation of a teacher's scores into a student, snippet by snippet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mmcl.losses.mil import masked_mean, to_score
from mmcl.types import ModelOutput, upcast


def _cross_entropy(logit: Tensor, target: Tensor, multiclass: bool) -> Tensor:
    """``(bag, snippet)``, summed over classes."""
    if multiclass:
        return -(target * upcast(logit).log_softmax(-1)).sum(-1)
    return binary_cross_entropy_with_logits(upcast(logit), target, reduction="none").sum(-1)


def distill_from_ema(
    student: ModelOutput, teacher: ModelOutput, mask: Tensor, label: Tensor, multiclass: bool = False
) -> Tensor:
    """Each modality's own score learns the EMA model's joint score in bags that hold an event.

    What the modalities show together thereby reaches the one that could not find it alone. Bags without events need no
    teacher: their label holds for every snippet.

    Args:
        student: Output for the bags.
        teacher: The EMA model's output for the same bags.
        mask: ``(bag, snippet)`` bool, True = real.
        label: ``(bag, class)`` of 0 and 1.
        multiclass: Classes exclude each other.

    Returns:
        Scalar, scaled over processes as in ``masked_mean``.

    Example:
        >>> z = torch.zeros(1, 2, 1)
        >>> mask = torch.ones(1, 2, dtype=torch.bool)
        >>> output = ModelOutput({}, {"audio": z}, z, {}, mask)
        >>> distill_from_ema(output, output, mask, torch.ones(1, 1))
        tensor(0.6931)
    """
    target = to_score(upcast(teacher.joint_logit), multiclass)
    with_event = mask & (label.sum(1) > 0)[:, None]
    losses = [_cross_entropy(logit, target, multiclass) for logit in student.logit.values()]
    return masked_mean(torch.stack(losses).sum(0), with_event)


def distill_from_teacher(student: ModelOutput, teacher: ModelOutput, mask: Tensor, multiclass: bool = False) -> Tensor:
    """Every head of the student learns a finished network's scores, whether or not the bag has a label.

    The target is, of classes that exclude each other, the mean of the teacher's heads, else its joint score.

    Args:
        student: Output for the bags.
        teacher: The finished network's output for the same augmented bags.
        mask: ``(bag, snippet)`` bool, True = real.
        multiclass: Classes exclude each other.

    Returns:
        Scalar, scaled over processes as in ``masked_mean``.

    Reference:
        Hinton et al. 2015; with unlabelled recordings Chen et al., NeurIPS 2020 (SimCLRv2); both networks see the same
        view, as Beyer et al., CVPR 2022, found best.

    Example:
        >>> z = torch.zeros(1, 2, 1)
        >>> mask = torch.ones(1, 2, dtype=torch.bool)
        >>> output = ModelOutput({}, {"audio": z}, z, {}, mask)
        >>> distill_from_teacher(output, output, mask)
        tensor(1.3863)
    """
    if multiclass:
        heads = (teacher.joint_logit, *teacher.logit.values())
        target = torch.stack([upcast(v).log_softmax(-1) for v in heads]).mean(0).softmax(-1)
    else:
        target = upcast(teacher.joint_logit).sigmoid()
    losses = [_cross_entropy(v, target, multiclass) for v in (student.joint_logit, *student.logit.values())]
    return masked_mean(torch.stack(losses).sum(0), mask)
