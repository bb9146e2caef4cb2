"""Frozen embeddings of a run, evaluated by probes, with few labels or all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmcl.config.schema import LabelsConfig
from mmcl.config.validation import check_n_labels
from mmcl.data.few_labels import few_label_numbers
from mmcl.errors import InputError
from mmcl.evaluation.linear_probe import PROBES
from mmcl.inference.embeddings import embed
from mmcl.inference.representation import probe_accuracy
from mmcl.runs.model import load_model, resolve_device
from mmcl.runs.run_dir import RunInfo
from mmcl.runs.run_splits import load_run_splits

Table = dict[str, list[float]]


def describe_labels(labels: float) -> str:
    """A number of labels in words.

    Args:
        labels: 0 = all, a whole number a class, or a share below 1.

    Example:
        >>> describe_labels(2), describe_labels(0.1)
        ('2 a class', '10 % of the labels')
    """
    if labels == 0:
        return "all labels"
    return f"{labels:.0f} a class" if labels >= 1 else f"{100 * labels:g} % of the labels"


def probe(
    run: Path,
    labels: Sequence[float],
    label_seeds: int,
    kinds: Sequence[str] = ("linear",),
    modalities: Sequence[str] = (),
    *,
    data: Path | None = None,
    split: str = "test",
    device: str = "auto",
) -> Table:
    """Accuracies of probes that are fitted on draws of labelled training recordings.

    Args:
        run: Folder of a run.
        labels: Each 0 = all, a whole number a class, or a share below 1.
        label_seeds: Draws of the labelled recordings.
        kinds: Of probes.
        modalities: Whose embeddings a probe reads, all by default.
        data: The data set; where the run was trained on it by default.
        split: "test" or "validation".
        device: Where to compute.

    Returns:
        Accuracies by row.

    Raises:
        InputError: An option is wrong, or the split is empty.
    """
    network, info = load_model(run, needs_scores=False)
    chosen = tuple(modalities) or tuple(info.inputs)
    check_request(info, run, chosen, labels, label_seeds)
    if unknown := [kind for kind in kinds if kind not in PROBES]:
        raise InputError(f"--kinds: expected some of {', '.join(PROBES)}, got {unknown[0]}")
    where = resolve_device(device)
    splits = load_run_splits(run, info, data, ("train", split), labels=LabelsConfig())
    if not splits.of(split):
        raise InputError(f"{run}: this run has no {split} split; it was trained without held-out recordings")
    of_train = embed(network.to(where), splits.train, info.grid, where)
    evaluated = embed(network, splits.of(split), info.grid, where)
    table: Table = {}
    for kind in dict.fromkeys(kinds):
        for number in dict.fromkeys(labels):
            for seed in range(label_seeds if number else 1):
                labelled = few_label_numbers(splits.train, number, seed)
                name = f"{describe_labels(number)}, {' + '.join(chosen)}, {kind}"
                value = probe_accuracy(of_train, evaluated, labelled, chosen, kind)
                table.setdefault(name, []).append(value)
    return table


def check_request(
    info: RunInfo, run: Path, modalities: Sequence[str], labels: Sequence[float], label_seeds: int
) -> None:
    """The run can be fine-tuned or probed so.

    Args:
        info: Of the run.
        run: Its folder.
        modalities: Some of the run's.
        labels: Each 0 = all, a whole number a class, or a share below 1.
        label_seeds: Draws, 1 or more.

    Raises:
        InputError: Naming the option that is wrong.
    """
    if not labels:
        raise InputError("--labels: expected one number or more, got none")
    for number in labels:
        check_n_labels(number, "--labels")
    if info.dataset.task != "recognition":
        raise InputError(f"{run}: was trained on {info.config.dataset}; recognition runs are fine-tuned and probed")
    wrong = [m for m in modalities if m not in info.inputs]
    if wrong:
        raise InputError(f"--modalities: the run has {', '.join(info.inputs)}, not {wrong[0]}; choose among these")
    if label_seeds < 1:
        raise InputError(f"--label-seeds: expected 1 or more, got {label_seeds}")


def format_table(table: Table) -> str:
    """Mean and spread of each row, in percent.

    Args:
        table: Accuracies by row.

    Example:
        >>> print(format_table({"all labels": [0.5, 0.6]}))
          all labels  55.0 ± 7.1 %   (50.0, 60.0)
    """
    width = max(len(name) for name in table)
    lines = []
    for name, values in table.items():
        x = 100 * np.asarray(values)
        spread = f" ± {x.std(ddof=1):.1f}" if len(x) > 1 else ""
        lines.append(f"  {name:{width}}  {x.mean():.1f}{spread} %   ({', '.join(f'{v:.1f}' for v in x)})")
    return "\n".join(lines)
