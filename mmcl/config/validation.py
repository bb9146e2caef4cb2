"""Settings that cannot work, found before any data are read."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Any, Literal

from mmcl.config.loss_schema import LossConfig, TeacherConfig
from mmcl.config.schema import DataConfig, LabelsConfig, ModelConfig, RunConfig
from mmcl.errors import InputError

Task = Literal["recognition", "detection"]


def check_config(config: RunConfig, task: Task) -> None:
    """Every setting is in range, and no two contradict each other.

    Args:
        config: With the data set's modalities filled in.
        task: Of its data set.

    Raises:
        InputError: Naming the first option that is wrong, what was expected and what came.

    Example:
        >>> from mmcl.config import override
        >>> check_config(override(RunConfig(), {"data.modalities": ("skeleton", "inertial")}), "detection")
    """
    check_ranges(config)
    check_modalities(config.data)
    check_model(config.model)
    _check_losses(config.loss, config.data, config.model, config.teacher, task)
    _check_teachers(config)
    _check_labels(config, task)
    if config.trainer.select_on == "test" and (config.refits or config.model.linear_path):
        raise InputError("--trainer.select-on test: not with --trainer.refit, nor with --model.linear-path")
    if config.loss.mil.weight == 0:
        _check_without_labels(config.loss, config.data, config.teacher, config.labels, task)
    _check_recording_contrast(config)


def option(path: str) -> str:
    """A setting's path as an option of the command line.

    Example:
        >>> option("loss.mil.topk_divisor")
        '--loss.mil.topk-divisor'
    """
    return "--" + path.replace("_", "-")


def check_ranges(config: Any) -> None:
    """Every number is within its ``limits``, every choice one of its literals.

    Args:
        config: A configuration or a section of one.

    Raises:
        InputError: Naming the first option that is not.

    Example:
        >>> from mmcl.config import OptimConfig
        >>> check_ranges(OptimConfig(epochs=1))
    """
    for path, value, limits, hint in _leaves(config, ""):
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            expected = ", ".join(map(str, typing.get_args(hint)))
            raise InputError(f"{option(path)}: expected one of {expected}, got {value}")
        if limits is None:
            continue
        low, high = limits
        if not low <= value <= high:  # also where it is NaN
            expected = f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
            raise InputError(f"{option(path)}: expected {expected}, got {value}")


def _leaves(config: Any, prefix: str) -> Iterator[tuple[str, Any, tuple[float, float] | None, Any]]:
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value, item.metadata.get("limits"), hints[item.name]


def check_modalities(data: DataConfig) -> None:
    """One modality or more, each once.

    Raises:
        InputError: Otherwise.

    Example:
        >>> check_modalities(DataConfig(("visual", "audio")))
    """
    got = data.modalities
    if not got or len(set(got)) < len(got):
        raise InputError(f"--data.modalities: expected one or more, each once, got {' '.join(got) or 'none'}")


def check_model(model: ModelConfig) -> None:
    """Sizes of the network fit each other.

    Raises:
        InputError: Naming the option that does not.

    Example:
        >>> check_model(ModelConfig())
    """
    if model.dim % model.n_heads:
        raise InputError(f"--model.dim {model.dim}: expected a multiple of --model.n-heads {model.n_heads}")
    if model.score_smoothing % 2 == 0:
        raise InputError(f"--model.score-smoothing: expected an odd number from 1 on, got {model.score_smoothing}")
    if model.attend_to_padding and model.architecture != "macil-sd":
        raise InputError("--model.attend-to-padding: belongs to --model.architecture macil-sd")
    if model.kernel and model.kernel % 2 == 0:
        raise InputError(f"--model.kernel: expected an odd number, or 0, got {model.kernel}")


def _check_losses(loss: LossConfig, data: DataConfig, model: ModelConfig, teacher: TeacherConfig, task: Task) -> None:
    several = len(data.modalities) > 1
    if loss.semibag.weight > 0 and not loss.semibag.against:
        raise InputError("--loss.semibag.against: expected one kind at least; --loss.semibag.weight 0 switches it off")
    if loss.mil.multiclass and task != "recognition":
        raise InputError("--loss.mil.multiclass: the labels of this data set do not exclude each other")
    if model.smoothed == "probabilities" and loss.mil.multiclass:
        raise InputError("--model.smoothed probabilities: the classes exclude each other; smooth logits")
    if loss.semibag.overlap and loss.semibag.clustering != "topk":
        raise InputError("--loss.semibag.overlap: belongs to --loss.semibag.clustering topk")
    if loss.semibag.swap_scores and len(data.modalities) != 2:
        raise InputError("--loss.semibag.swap-scores: needs two modalities")
    if loss.recording.weight > 0 and (model.architecture != "mmcl" or not several):
        raise InputError("--loss.recording.weight: needs two modalities and --model.architecture mmcl")


def _check_recording_contrast(config: RunConfig) -> None:
    recording, loader = config.loss.recording, config.loader
    used = {
        "within": recording.within,
        "memory-size": recording.memory_size,
        "false-negatives": recording.false_negatives != "none",
    }
    for name, value in used.items():
        if value and recording.weight == 0:
            raise InputError(
                f"--loss.recording.{name}: belongs to the recording contrast; use --loss.recording.weight above 0"
            )
    if recording.pseudo_positives > 0 and recording.false_negatives == "none":
        raise InputError(
            "--loss.recording.pseudo-positives: needs the recordings of the same class; use "
            "--loss.recording.false-negatives"
        )
    if recording.within > 0 and loader.views < 2:
        raise InputError("--loss.recording.within: compares two views of a recording; use --loader.views 2")
    candidates = loader.batch_size * loader.views + recording.memory_size
    if recording.false_negatives != "none" and recording.false_negatives_k > candidates:
        raise InputError(
            f"--loss.recording.false-negatives-k: expected at most the {candidates} embeddings of a batch and the "
            f"memory bank, got {recording.false_negatives_k}"
        )
    needs_ema = recording.memory_size > 0 or recording.false_negatives != "none"
    if recording.weight > 0 and needs_ema and config.teacher.ema_decay <= 0:
        raise InputError(
            "--loss.recording.memory-size, --loss.recording.false-negatives: need the EMA model; use "
            "--teacher.ema-decay above 0"
        )
    if config.loss.distill.teacher_run and needs_ema:
        raise InputError(
            "--loss.distill.teacher-run: that teacher gives scores; a memory bank and false negatives need the EMA "
            "model"
        )
    if recording.weight > 0 and config.augment.modality_dropout:
        raise InputError("--augment.modality-dropout: the recording contrast needs both modalities of a recording")


def _check_teachers(config: RunConfig) -> None:
    teacher, distill, data = config.teacher, config.loss.distill, config.data
    if config.augment.modality_dropout and len(data.modalities) < 2:
        raise InputError("--augment.modality-dropout: needs two modalities")
    if config.augment.modality_dropout and teacher.unimodal:
        raise InputError(
            "--augment.modality-dropout: the unimodal teacher cannot lack its only modality; use --teacher.unimodal ''"
        )
    if teacher.unimodal and teacher.unimodal not in data.modalities:
        raise InputError(f"--teacher.unimodal {teacher.unimodal}: expected one of {', '.join(data.modalities)}")
    if distill.teacher_run and distill.weight == 0:
        raise InputError("--loss.distill.teacher-run: teaches nothing; use --loss.distill.weight above 0")
    if distill.weight > 0 and teacher.ema_decay <= 0 and not distill.teacher_run:
        raise InputError("--loss.distill.weight: needs the EMA model; use --teacher.ema-decay above 0")
    if config.optim.encoder_lr_scale == 0 and teacher.unimodal:
        raise InputError(
            "--optim.encoder-lr-scale 0: the unimodal teacher would update frozen encoders; use --teacher.unimodal ''"
        )


def _check_labels(config: RunConfig, task: Task) -> None:
    labels, loss = config.labels, config.loss
    check_n_labels(labels.labelled, "--labels.labelled")
    if labels.labelled and task != "recognition":
        raise InputError("--labels.labelled: this data set trains on all its labels; it is for recognition")
    if labels.unlabelled != "out" and not labels.labelled:
        raise InputError(f"--labels.unlabelled {labels.unlabelled}: all are labelled; use --labels.labelled")
    if labels.unlabelled != "teacher":
        return
    if not loss.distill.teacher_run:
        raise InputError("--labels.unlabelled teacher: needs one, --loss.distill.teacher-run")
    if not loss.mil.multiclass or loss.semibag.weight > 0 or config.augment.insertion > 0:
        raise InputError(
            "--labels.unlabelled teacher: of recordings without a label nothing is known that "
            "--loss.mil.no-multiclass, --loss.semibag.weight or --augment.insertion could use"
        )


def check_n_labels(labels: float, name: str) -> None:
    """Is it a number of labels?

    Args:
        labels: 0 = all, a whole number a class, or a share below 1.
        name: Of the option, for the error.

    Raises:
        InputError: It is not.

    Example:
        >>> check_n_labels(0.5, "--labels")
    """
    if not (0 <= labels < 1 or (labels >= 1 and labels == math.floor(labels) < math.inf)):
        raise InputError(f"{name}: expected 0 for all, a whole number a class, or a share below 1, got {labels:g}")


def _check_without_labels(
    loss: LossConfig, data: DataConfig, teacher: TeacherConfig, labels: LabelsConfig, task: Task
) -> None:
    """All of these would read labels or untrained scores."""
    if task != "recognition" or len(data.modalities) < 2:
        raise InputError(
            "--loss.mil.weight 0: learning without labels needs two modalities and trimmed recordings (a recognition "
            "data set)"
        )
    if loss.recording.weight == 0 and loss.snippet.weight == 0:
        raise InputError("--loss.mil.weight 0: nothing is left to learn; use --loss.recording.weight above 0")
    for name, value in (
        ("--loss.semibag.weight", loss.semibag.weight),
        ("--loss.distill.weight", loss.distill.weight),
        ("--teacher.unimodal", teacher.unimodal),
        ("--labels.labelled", labels.labelled),
    ):
        if value:
            raise InputError(f"{name} {value}: learns from labels, which --loss.mil.weight 0 leaves out")
