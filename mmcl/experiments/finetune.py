"""Few labels, several draws: fine-tune a pre-trained run, or train a student of a finished one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mmcl.config.files import override
from mmcl.config.schema import RunConfig
from mmcl.datasets import get_dataset
from mmcl.errors import InputError
from mmcl.experiments.probe import Table, check_request, describe_labels
from mmcl.io import write_json
from mmcl.runs.run_dir import RunInfo, data_of, read_run, world_size_asked
from mmcl.training.run import train

FEW_LABELS = 4  # a class; fewer cannot train encoders anew


def few_label_changes(n_labels: float) -> dict[str, Any]:
    """What fine-tuning changes in a recipe by default.

    Args:
        n_labels: 0 = all, a whole number a class, or a share below 1.

    Example:
        >>> few_label_changes(1.0) == few_label_changes(0.1) == {"optim.encoder_lr_scale": 0.1, "optim.epochs": 30}
        True
        >>> few_label_changes(4.0), few_label_changes(0.0)
        ({}, {})
    """
    return {"optim.encoder_lr_scale": 0.1, "optim.epochs": 30} if 0 < n_labels < FEW_LABELS else {}


def finetune_config(info: RunInfo, labels: float, label_seed: int, modalities: Sequence[str]) -> RunConfig:
    """The data set's recipe with a run's snippets, splits and network, one draw of labels.

    Args:
        info: Of the run.
        labels: 0 = all, a whole number a class, or a share below 1.
        label_seed: Of the draw, and the seed of the new run.
        modalities: Of the new run.
    """
    before = info.config
    recipe = get_dataset(before.dataset).default_config()
    model = dataclasses.replace(before.model, dropout=recipe.model.dropout, joint=recipe.model.joint)
    kept = ("hop_s", "window_s", "stretch_s", "frames_per_hop")
    snippets = {f"snippets.{name}": getattr(before.snippets, name) for name in kept}
    return override(
        recipe,
        {
            **snippets,
            "data": dataclasses.replace(before.data, modalities=tuple(modalities)),
            "model": model,
            "labels.labelled": labels,
            "labels.seed": label_seed,
            "seed": label_seed,
        },
    )


def finetune(
    run: Path,
    out: Path,
    labels: Sequence[float],
    label_seeds: int,
    modalities: Sequence[str] = (),
    *,
    data: Path | None = None,
    from_scratch: bool = False,
    unlabelled: Literal["out", "probe"] = "out",
    first_seed: int = 0,
    epochs: int | None = None,
    learning_rate: float | None = None,
    encoder_lr_scale: float | None = None,
    device: str = "auto",
) -> Table:
    """One training for each number of labels and draw, in OUT/LABELS/seed-N, resumed where it was.

    Args:
        run: Folder of the pre-trained run.
        out: For the runs and table.json.
        labels: Each 0 = all, a whole number a class, or a share below 1.
        label_seeds: Draws of the labelled recordings.
        modalities: That there are at test time, the run's own by default.
        data: The data set; where the run was trained on it by default.
        from_scratch: The same without the run's weights, all at one learning rate, to compare with.
        unlabelled: What the other recordings are used for, as ``LabelsConfig.unlabelled``.
        first_seed: Of the first draw.
        epochs: With fewer than four labels a class, or a share, 30, else the recipe's own, by default.
        learning_rate: The recipe's own by default.
        encoder_lr_scale: The encoders' share of it; with fewer than four labels a class, or a share, 0.1, else 1, by
            default.
        device: Where to compute.

    Returns:
        Accuracies on the test split by row, as table.json has them.

    Raises:
        InputError: An option is wrong, or the run was trained with labels.
    """
    info = read_run(run)
    chosen = tuple(modalities) or tuple(info.inputs)
    check_request(info, run, chosen, labels, label_seeds)
    _check_one_process("mmcl finetune")
    if info.has_scores and any(labels):
        raise InputError(
            f"{run}: was trained with labels, so that few would not be few; --labels 0, or a run of mmcl pretrain"
        )
    if from_scratch and encoder_lr_scale is not None:
        raise InputError("--encoder-lr-scale: from scratch, encoders learn at the rate of the rest; leave it out")
    table: Table = {}
    for n_labels in dict.fromkeys(labels):
        changes = {
            "labels.unlabelled": unlabelled if n_labels and not from_scratch else None,
            "optim.epochs": epochs,
            "optim.learning_rate": learning_rate,
            "optim.encoder_lr_scale": encoder_lr_scale,
        }
        changes = ({} if from_scratch else few_label_changes(n_labels)) | _given(changes)
        for seed in range(first_seed, first_seed + label_seeds):
            config = override(finetune_config(info, n_labels, seed, chosen), changes)
            name = describe_labels(n_labels)
            folder = out / name.replace(" ", "-").replace("%", "percent") / f"seed-{seed}"
            start_from = None if from_scratch else run
            metrics = train(config, data or data_of(run), folder, True, start_from, device)
            table.setdefault(f"{name}, {' + '.join(chosen)}", []).append(metrics["accuracy"])
    write_json(out / "table.json", table)
    return table


def distill(
    runs: Sequence[Path],
    out: Path,
    modalities: Sequence[str] = (),
    *,
    start_from: Path | None = None,
    data: Path | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    device: str = "auto",
) -> Table:
    """A student of each run, distilled from it on all training recordings, labelled or not.

    In OUT/NAME, resumed where it was, NAME being the run's folder (below its parent's, where several share it).

    Args:
        runs: Folders of the teachers.
        out: For the runs and table.json.
        modalities: That the student has, the teacher's own by default.
        start_from: Whose weights the student begins with; those that its teacher began with by default.
        data: The data set; where the teacher was trained on it by default.
        epochs: The recipe's own by default.
        learning_rate: The recipe's own by default.
        device: Where to compute.

    Returns:
        Accuracies on the test split by row, as table.json has them.

    Raises:
        InputError: An option is wrong, or a teacher has no scores.
    """
    _check_one_process("mmcl distill")
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = ["-".join(run.resolve().parts[-2:]) for run in runs]
    if len(set(names)) < len(names) or not runs:
        raise InputError("RUN: expected one or more folders with names of their own")
    table: Table = {}
    for run, name in zip(runs, names, strict=True):
        info = read_run(run)
        chosen = tuple(modalities) or tuple(info.inputs)
        labels = info.config.labels.labelled
        check_request(info, run, chosen, [labels], 1)
        if not info.has_scores:
            raise InputError(f"{run}: learned without labels and has no scores to teach; mmcl finetune it first")
        changes = {
            "seed": info.config.seed,
            "labels.unlabelled": "teacher" if labels else "out",
            "loss.distill.teacher_run": str(run.resolve()),
            "loss.distill.weight": 1.0,
            "optim.epochs": epochs,
            "optim.learning_rate": learning_rate,
        }
        config = override(finetune_config(info, labels, info.config.labels.seed, chosen), _given(changes))
        begin = start_from or (info.start_from if info.is_own else None)
        metrics = train(config, data or data_of(run), out / name, True, begin, device)
        row = f"{describe_labels(labels)}, {' + '.join(chosen)}, distilled"
        table.setdefault(row, []).append(metrics["accuracy"])
    write_json(out / "table.json", table)
    return table


def _given(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in changes.items() if v is not None}


def _check_one_process(command: str) -> None:
    if world_size_asked() > 1:
        raise InputError(f"{command}: runs in one process; start it without torchrun, several beside each other")
