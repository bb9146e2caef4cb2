"""Train: from settings and data to a run's folder with its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import nn

from mmcl.config import Config
from mmcl.data.bags import BagDataset
from mmcl.errors import InputError
from mmcl.models.build import clock_of, network, teacher_modules
from mmcl.models.features import FeatureEncoder
from mmcl.models.sensor import InertialEncoder
from mmcl.storage import read_figures, write_json
from mmcl.tasks import TASKS, Task
from mmcl.tasks.own import complete
from mmcl.training import checkpoint
from mmcl.training.check import check
from mmcl.training.earlier import begin_with, labelled_by_probe, taught_by
from mmcl.training.evaluation import evaluate_on
from mmcl.training.folder import CONFIG, describe, only_one, prepare_folder, same_front_ends
from mmcl.training.loop import BEST, METRICS, fit, make_accelerator
from mmcl.training.step import Learner
from mmcl.training.teacher import Pairs, parameter_pairs

MOST_FOR_STATISTICS = 2000  # recordings whose mean and spread stand for all


def train(
    config: Config, data: Path, out: Path, resume: bool = False, start_from: Path | None = None
) -> dict[str, float]:
    """Train, evaluate on the test part, write the run's folder; returns the test figures.

    start_from: folder of a run or an imported model of the same architecture, whose selected weights
    the student begins with.
    """
    config = complete(config, data)
    check(config)
    if config.optim.encoder_rate == 0 and start_from is None:
        raise InputError("--optim.encoder-rate 0: would freeze encoders that know nothing; give --start-from")
    prepare_folder(out, config, data, resume, start_from)
    with only_one(out):
        if resume and (out / METRICS).exists():
            print(f"{out}: finished already")
            known = read_figures(out / METRICS)
            return {k.removeprefix("test "): v for k, v in known.items() if k.startswith("test ")}
        return _train(config, data, out, resume, start_from)


def _train(config: Config, data: Path, out: Path, resume: bool, start_from: Path | None) -> dict[str, float]:
    task = TASKS[config.task](data, config)
    check_parts(task, data, config)
    if config.bags.unlabelled == "probe":
        task = replace(task, train=labelled_by_probe(task.train, config, data, start_from))
    set_seed(config.optim.seed)
    learner, pairs = build_learner(config, task)
    if start_from is not None:
        same_front_ends(start_from, task)
        begin_with(start_from, learner.student, config)
    accelerator = make_accelerator(config, out)
    if accelerator.is_main_process:
        write_json(out / CONFIG, describe(config, task, data, start_from))
    d = config.bags
    guide, train_part, clock = taught_by(config, task, data)
    bags = BagDataset(
        train_part,
        clock,
        strength=d.augment,
        shuffle_hops=d.shuffle_hops,
        crop=d.crop,
        insertion=d.insertion,
        insertion_from=round(d.insertion_from * config.optim.epochs),
        max_snippets=d.max_snippets,
        modality_dropout=d.modality_dropout,
        repetition=d.repetition,
        seed=config.optim.seed,
    )

    def validate(student: nn.Module, device: torch.device) -> dict[str, float]:
        figures = evaluate_on(student, config, task, "validation", device)
        return {f"validation {k}": v for k, v in figures.items()}

    progress = fit(
        config,
        learner,
        pairs,
        bags,
        validate if task.validation else None,
        f"validation {task.select_by if config.objective.supervised > 0 else 'linear probe accuracy'}",
        out,
        resume=resume,
        accelerator=accelerator,
        repeats=task.repeats,
        guide=guide,
        choose=config.objective.supervised > 0,  # no label chooses among what was learned without
    )
    figures: dict[str, float] = {}
    if accelerator.is_main_process:
        student = learner.student
        checkpoint.load_weights(out / BEST, student)
        figures = evaluate_on(student, config, task, "test", accelerator.device)
        metrics = {
            **{f"test {k}": v for k, v in figures.items()},
            "selected epoch": progress.best_epoch,
            "training seconds": progress.seconds,
            "parameters of the network": sum(p.numel() for p in student.parameters()),
        }
        if task.validation:
            metrics |= {
                k: v
                for k, v in progress.history[progress.best_epoch - 1].items()
                if k.startswith("validation")
            }
        defined = {k: v for k, v in metrics.items() if v == v}  # AP without events, say, is not
        write_json(out / METRICS, defined)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return figures


def check_parts(task: Task, data: Path, config: Config) -> None:
    """Every part that this run needs has recordings."""
    asked = bool(config.bags.validation_subjects) if config.task.startswith("utd-mhad") else False
    for part, needed in (("train", True), ("test", True), ("validation", asked)):
        if needed and not getattr(task, part):
            raise InputError(
                f"{data}: holds no recordings of the {part} part; add them, or choose other subjects"
            )


def build_learner(config: Config, task: Task) -> tuple[Learner, Pairs]:
    """Student with the training data's statistics, teacher, and what it hands over."""
    clock = clock_of(config)
    student = network(config, clock, len(task.classes), n_channels=task.n_channels)
    teacher, pairs = None, Pairs()
    if config.teacher.modality:
        of = config.teacher.modality
        teacher = network(config, clock, len(task.classes), (of,), task.n_channels)
        pairs = parameter_pairs(student, teacher, teacher_modules(of, config.model))
    for part in (student, teacher):
        if part is not None:
            _fit_statistics(part, task)
            _freeze_unused(part, config, is_teacher=part is teacher)
    return Learner(student, teacher, config.objective, bool(config.teacher.run), len(task.train)), pairs


def _fit_statistics(part: nn.Module, task: Task) -> None:
    encoders = part.get_submodule("encoder")
    some = task.train[:: -(-len(task.train) // MOST_FOR_STATISTICS)]
    for m, encoder in encoders.named_children():
        if isinstance(encoder, InertialEncoder | FeatureEncoder):
            n, total, square = 0, 0.0, 0.0
            for recording in some:
                x = np.asarray(recording.signal[m], np.float64)
                n, total, square = n + len(x), total + x.sum(0), square + (x * x).sum(0)
            mean = total / n
            std = np.sqrt(np.maximum(square / n - mean**2, 0))
            encoder.fit(torch.from_numpy(mean), torch.from_numpy(std))


def _freeze_unused(part: nn.Module, config: Config, is_teacher: bool) -> None:
    """What no loss reaches, and what is to stay as it is, takes no gradient: distributed training wants to know."""
    o = config.objective
    if config.optim.encoder_rate == 0 and not is_teacher:
        part.get_submodule("encoder").requires_grad_(False)
    if config.model.architecture != "mmcl":
        return  # every part of it is reached
    compared = o.contrast or o.instance or o.pair or o.sequences
    if is_teacher or len(config.bags.modalities) == 1 or not compared:
        part.get_submodule("project").requires_grad_(False)
    if o.supervised == 0 and config.teacher.distill == 0:
        for name in ("head", "joint_head", "stream_head", "fusion", "gate"):
            if getattr(part, name, None) is not None:
                part.get_submodule(name).requires_grad_(False)
    if o.unimodal == 0 and (is_teacher or config.teacher.distill == 0) and config.model.joint != "ensemble":
        part.get_submodule("head").requires_grad_(False)
