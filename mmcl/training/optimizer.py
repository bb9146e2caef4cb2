"""Parameter groups, learning rates and what takes a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mmcl.config.loss_schema import LossConfig
from mmcl.config.schema import ModelConfig, OptimConfig
from mmcl.training.schedules import learning_rate_factor
from mmcl.training.task import TrainingTask


def create_optimizer(task: TrainingTask, config: OptimConfig, teacher_lr_scale: float) -> torch.optim.AdamW:
    """AdamW over encoders, the rest of the student, the unimodal teacher and the objectives' components, each with
    decayed weights and undecayed biases and norms.

    Args:
        task: Whose parameters.
        config: Learning rates and decay.
        teacher_lr_scale: The unimodal teacher's learning rate as a share of the student's.
    """
    scale = config.encoder_lr_scale
    encoders = list(task.student.get_submodule("encoder").parameters()) if scale != 1 else []
    apart = {id(p) for p in encoders}
    rest = [p for p in task.student.parameters() if id(p) not in apart]
    teacher = [] if task.teacher is None else list(task.teacher.parameters())
    components = [*task.contrasts.parameters(), *task.sequence_terms.parameters()]
    groups: list[dict[str, Any]] = []
    for parameters, of_peak in (
        (rest, 1.0),
        (encoders, scale),
        (teacher, teacher_lr_scale),
        (components, 1.0),
    ):
        rate = config.learning_rate * of_peak
        used = [p for p in parameters if p.requires_grad]
        if used:
            groups.append({"params": [p for p in used if p.ndim > 1], "lr": rate, "peak": rate})
            undecayed = [p for p in used if p.ndim <= 1]
            groups.append({"params": undecayed, "lr": rate, "peak": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


def set_learning_rate(optimizer: Any, config: OptimConfig, step: int, n_steps: int) -> None:
    """The learning rates at a step of ``n_steps``."""
    n_decay = n_steps // config.epochs * config.decay_epochs or None
    factor = learning_rate_factor(step, n_steps, config.warmup_ratio, n_decay)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def freeze_unused(
    network: nn.Module, model: ModelConfig, loss: LossConfig, *, is_teacher: bool, freeze_encoders: bool
) -> None:
    """What no loss reaches, and what is to stay as it is, takes no gradient: distributed training needs to know.

    Args:
        network: The student or its unimodal teacher.
        model: Settings of the network.
        loss: Settings of the losses.
        is_teacher: It is the unimodal teacher.
        freeze_encoders: Keep the encoders as they are.
    """
    if freeze_encoders and not is_teacher:
        network.get_submodule("encoder").requires_grad_(False)
    if model.architecture != "mmcl":
        return  # every part of it is reached
    contrasted = bool(loss.in_use) or bool(loss.sequence_terms)
    if is_teacher or len(getattr(network, "modalities", ())) == 1 or not contrasted:
        network.get_submodule("project").requires_grad_(False)
    if loss.mil.weight == 0 and loss.distill.weight == 0:
        for name in ("head", "joint_head", "stream_head", "fusion", "gate"):
            if getattr(network, name, None) is not None:
                network.get_submodule(name).requires_grad_(False)
    if loss.mil.unimodal == 0 and (is_teacher or loss.distill.weight == 0) and model.joint != "ensemble":
        network.get_submodule("head").requires_grad_(False)
