"""Multiple instance learning: the loss of a bag's prediction against its weak label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcl.errors import InputError
from mmcl.precision import at_least_float32
from mmcl.processes import n_processes, total


def mil_loss(logit: Tensor, label: Tensor, exclusive: bool = False, smoothing: float = 0.0) -> Tensor:
    """Mean loss over bags. logit: ``(bag, class)`` pooled; label: ``(bag, class)``, 0 or 1.

    exclusive False: binary cross-entropy of each class by itself, summed over classes (binary is
    one class; MACIL-SD, eq. 2). True: softmax cross-entropy, one class a bag, over the bags that have one:
    a label of zeros is an unlabelled bag. smoothing: label smoothing, 0 to 1, for exclusive classes.
    """
    if logit.shape != label.shape:
        raise InputError(
            f"label: expected shape {tuple(logit.shape)} as the bag logits, got {tuple(label.shape)}"
        )
    with torch.autocast(logit.device.type, enabled=False):
        logit = at_least_float32(logit)
        label = label.to(logit.dtype)
        if exclusive:
            known = label.sum(1) > 0
            loss = nn.functional.cross_entropy(logit, label, label_smoothing=smoothing, reduction="none")
            n = total(known.sum()).clamp(min=1)
            return torch.where(known, loss, 0.0).sum() / n * n_processes()
        return nn.functional.binary_cross_entropy_with_logits(logit, label, reduction="none").sum(1).mean()
