"""Figures of a network on a part of a task, while it trains and when it has."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mmcl.config import Config
from mmcl.errors import InputError
from mmcl.models.build import clock_of
from mmcl.probe import judge_representation
from mmcl.storage import read_figures, write_json
from mmcl.tasks import TASKS, Task, scorer
from mmcl.training.folder import data_of, device_of, load_network, read_config, same_front_ends
from mmcl.training.loop import BEST, LAST, METRICS


def evaluate_on(
    student: nn.Module,
    config: Config,
    task: Task,
    part: str,
    device: torch.device | str = "cpu",
    without: str = "",
) -> dict[str, float]:
    """without: a modality to leave out of all recordings."""
    left = [m for m in config.bags.modalities if m != without]
    recordings = getattr(task, part)
    if config.objective.supervised == 0:  # nothing was learned from labels: judge what was learned
        if without:
            raise InputError(
                "--without: a run without labels has no joint score; mmcl probe --modalities tells"
            )
        return judge_representation(student, task.train, recordings, clock_of(config), device)
    judge = scorer(student, config, task.classes, device)
    seen = [r.only(left) for r in recordings] if without else recordings
    return task.judge(recordings, list(judge.score(seen)), judge.clock)


def evaluate(
    run: Path,
    data: Path | None = None,
    part: str = "test",
    weights: str = "best",
    device: str = "cpu",
    without: str = "",
) -> dict[str, float]:
    """Figures of a run, computed anew; written into its metrics.json when it is finished and these
    are the data it was trained on. without: a modality to leave out of all recordings; not written."""
    where = device_of(device)
    student, config, _ = load_network(run, {"best": BEST, "last": LAST}[weights], to_score=False)
    needed = (part,) if config.objective.supervised > 0 else ("train", part)
    task = TASKS[config.task](data or data_of(run), config, needed)
    same_front_ends(run, task)
    if not getattr(task, part):
        raise InputError(f"{run}: this run has no {part} part; it was trained without held-out subjects")
    if without and (without not in config.bags.modalities or len(config.bags.modalities) == 1):
        raise InputError(f"--without {without}: the run's modalities are {', '.join(config.bags.modalities)}")
    figures = evaluate_on(student.to(where), config, task, part, where, without)
    on_own_data = data is None or data.resolve() == read_config(run)[2]
    if not (run / METRICS).exists() or not on_own_data or without:
        return figures  # not finished: it writes its figures itself; other data's are not the run's
    known = read_figures(run / METRICS)
    tag = part if weights == "best" else f"{part}, last epoch,"
    write_json(run / METRICS, {**known, **{f"{tag} {k}": v for k, v in figures.items()}})
    return figures
