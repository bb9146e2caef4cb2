"""Few labels, several draws: fine-tune a pre-trained run, or probe it frozen, and tell mean and spread."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mmcl.config import Config
from mmcl.data.labels import check_labels
from mmcl.errors import InputError
from mmcl.models.build import clock_of, kinds_of
from mmcl.presets import PRESETS, RECOGNITION, changed
from mmcl.probe import PROBES, embed, labelled_rows, probe_accuracy
from mmcl.storage import write_json
from mmcl.tasks import TASKS
from mmcl.training.folder import began_with, data_of, device_of, load_network, n_asked, read_config
from mmcl.training.run import train

Table = dict[str, list[float]]
ENCODER_RATE, EPOCHS = (
    0.1,
    30,
)  # with few labels, which cannot teach encoders anew; all labels: the recipe's own
KEPT = (  # of a run's settings, by those that go on from it
    "hop_s", "window_s", "stretch_s", "inertial_frames_per_hop", "skeleton_frames_per_hop",
    "train_subjects", "test_subjects", "validation_subjects", "validation_groups", "test_groups", "protocol",
)  # fmt: skip


def say_labels(labels: float) -> str:
    if labels == 0:
        return "all labels"
    return f"{labels:.0f} a class" if labels >= 1 else f"{100 * labels:g} % of the labels"


def finetune_config(config: Config, labels: float, draw: int, modalities: Sequence[str]) -> Config:
    """The recognition recipe with a pre-trained run's encoders, one draw of labels."""
    kept = {name: getattr(config.bags, name) for name in KEPT}
    kinds = kinds_of(config)
    streams = {
        "modalities": tuple(modalities),
        "kinds": tuple(kinds[m] for m in modalities) if config.bags.kinds else (),
    }
    made = changed(
        PRESETS[config.task](),
        bags={**kept, **streams, "labelled": labels, "label_seed": draw},
        optim={"seed": draw},
    )
    return dataclasses.replace(
        made, model=dataclasses.replace(config.model, dropout=made.model.dropout, joint=made.model.joint)
    )


def finetune(
    run: Path,
    out: Path,
    labels: Sequence[float],
    draws: int,
    modalities: Sequence[str] = (),
    *,
    data: Path | None = None,
    from_scratch: bool = False,
    unlabelled: Literal["out", "probe"] = "out",
    first_draw: int = 0,
    epochs: int | None = None,
    learning_rate: float | None = None,
    encoder_rate: float | None = None,
) -> Table:
    """One training for each number of labels and draw, in OUT/LABELS/draw-N, resumed where it was.

    modalities: the streams that there are at test time, the run's own if left out. from_scratch: the same
    without the run's weights, to compare with, all at one rate. unlabelled: see ``BagsConfig``. encoder_rate: learning rate
    of the encoders as a part of the rest's; with few labels 0.1 and 30 epochs, if left out, which keeps what they know. Draws are ``first_draw`` and on. Returns and writes (OUT/table.json) accuracies by row.
    """
    config, _, _ = read_config(run)
    chosen = tuple(modalities) or config.bags.modalities
    _check(config, run, chosen, labels, draws)
    if n_asked() > 1:
        raise InputError(
            "mmcl finetune: runs in one process; start it without torchrun, several beside each other"
        )
    if config.objective.supervised > 0 and any(labels):
        raise InputError(
            f"{run}: was trained with labels, so that few would not be few; --labels 0, or a run of mmcl pretrain"
        )
    if from_scratch and encoder_rate is not None:
        raise InputError("--encoder-rate: from scratch, encoders learn at the rate of the rest; leave it out")
    table: Table = {}
    for part in labels:
        for draw in range(first_draw, first_draw + draws):
            made = finetune_config(config, part, draw, chosen)
            if part and not from_scratch:
                made = changed(made, bags={"unlabelled": unlabelled})
            few = part > 0 and not from_scratch
            optim = {
                "epochs": EPOCHS if epochs is None and few else epochs,
                "learning_rate": learning_rate,
                "encoder_rate": ENCODER_RATE if encoder_rate is None and few else encoder_rate,
            }
            made = changed(made, optim={k: v for k, v in optim.items() if v is not None})
            name = say_labels(part)
            where = out / name.replace(" ", "-").replace("%", "percent") / f"draw-{draw}"
            figures = train(made, data or data_of(run), where, True, None if from_scratch else run)
            table.setdefault(f"{name}, {' + '.join(chosen)}", []).append(figures["accuracy"])
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
) -> Table:
    """A student for each run, taught by it on all training recordings, labelled or not; in OUT/NAME, resumed where
    it was, NAME being the run's folder (below its parent's, where several share it).

    modalities: the streams that the student has, the teacher's own if left out. The student begins with the weights
    that its teacher began with, or ``start_from``'s. Returns and writes (OUT/table.json) accuracies by row.
    """
    if n_asked() > 1:
        raise InputError(
            "mmcl distill: runs in one process; start it without torchrun, several beside each other"
        )
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = ["-".join(run.resolve().parts[-2:]) for run in runs]
    if len(set(names)) < len(names) or not runs:
        raise InputError("RUN: expected one or more folders with names of their own")
    table: Table = {}
    for run, name in zip(runs, names, strict=True):
        config, _, _ = read_config(run)
        chosen = tuple(modalities) or config.bags.modalities
        labels = config.bags.labelled
        _check(config, run, chosen, [labels], 1)
        if config.objective.supervised == 0:
            raise InputError(
                f"{run}: learned without labels and has no scores to teach; mmcl finetune it first"
            )
        made = finetune_config(config, labels, config.bags.label_seed, chosen)
        optim = {"seed": config.optim.seed, "epochs": epochs, "learning_rate": learning_rate}
        made = changed(
            made,
            bags={"unlabelled": "teacher" if labels else "out"},
            teacher={"run": str(run.resolve()), "distill": 1.0},
            optim={k: v for k, v in optim.items() if v is not None},
        )
        figures = train(made, data or data_of(run), out / name, True, start_from or began_with(run))
        table.setdefault(f"{say_labels(labels)}, {' + '.join(chosen)}, distilled", []).append(
            figures["accuracy"]
        )
    write_json(out / "table.json", table)
    return table


def probe(
    run: Path,
    labels: Sequence[float],
    draws: int,
    kinds: Sequence[str] = ("linear",),
    modalities: Sequence[str] = (),
    *,
    data: Path | None = None,
    part: str = "test",
    device: str = "cpu",
) -> Table:
    """Frozen representations of the run, judged by probes fitted on draws of labelled training recordings."""
    network, config, _ = load_network(run, to_score=False)
    chosen = tuple(modalities) or config.bags.modalities
    _check(config, run, chosen, labels, draws)
    where = device_of(device)
    task = TASKS[config.task](data or data_of(run), changed(config, bags={"labelled": 0.0}), ("train", part))
    judged = getattr(task, part)
    if not judged:
        raise InputError(f"{run}: this run has no {part} part; it was trained without held-out subjects")
    known = embed(network.to(where), task.train, clock_of(config), where)
    seen = embed(network, judged, clock_of(config), where)
    table: Table = {}
    for kind in kinds:
        if kind not in PROBES:
            raise InputError(f"--kinds: expected some of {', '.join(PROBES)}, got {kind}")
        for number in labels:
            for draw in range(draws if number else 1):
                rows = labelled_rows(task.train, number, draw)
                name = f"{say_labels(number)}, {' + '.join(chosen)}, {kind}"
                table.setdefault(name, []).append(probe_accuracy(known, seen, rows, chosen, kind))
    return table


def _check(config: Config, run: Path, modalities: Sequence[str], labels: Sequence[float], draws: int) -> None:
    if not labels:
        raise InputError("--labels: expected one number or more, got none")
    for number in labels:
        check_labels(number, "--labels")
    if config.task not in RECOGNITION:
        raise InputError(f"{run}: was trained on {config.task}; recognition runs are fine-tuned and probed")
    wrong = [m for m in modalities if m not in config.bags.modalities]
    if wrong:
        raise InputError(
            f"--modalities: the run knows {', '.join(config.bags.modalities)}, not {wrong[0]}; choose among these"
        )
    if draws < 1:
        raise InputError(f"--draws: expected 1 or more, got {draws}")


def say(table: Table) -> str:
    """Mean and spread of each row, in percent."""
    width = max(len(name) for name in table)
    lines = []
    for name, values in table.items():
        x = 100 * np.asarray(values)
        spread = f" ± {x.std(ddof=1):.1f}" if len(x) > 1 else ""
        lines.append(f"  {name:{width}}  {x.mean():.1f}{spread} %   ({', '.join(f'{v:.1f}' for v in x)})")
    return "\n".join(lines)
