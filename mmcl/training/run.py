"""Train: from settings and data to a run's folder with its metrics."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from torch import nn

from mmcl.config.files import override
from mmcl.config.schema import RunConfig
from mmcl.config.validation import check_config
from mmcl.data.bags import BagDataset
from mmcl.data.signal_ranges import print_unlike
from mmcl.data.snippet_grid import create_grid
from mmcl.data.stored_index import join_recordings
from mmcl.datasets import Dataset, DataSplits, get_dataset, load_splits
from mmcl.datasets._check_splits import check_splits
from mmcl.datasets._missing_streams import describe_missing_streams
from mmcl.errors import InputError
from mmcl.features.extractor_set import split_names
from mmcl.inference.linear_baseline import LinearBaseline
from mmcl.io import atomic_write, read_metrics, write_json
from mmcl.models.build import create_model, teacher_modules
from mmcl.runs.model import resolve_device
from mmcl.runs.run_dir import BEST, CONFIG, LAST, METRICS, describe_run, prepare_run_dir, read_run
from mmcl.runs.run_lock import run_lock
from mmcl.runs.run_splits import check_fits
from mmcl.runs.same_recordings import check_finished, check_resumed, index_now, names_trained_on
from mmcl.runs.weights import load_weights
from mmcl.training.accelerator import create_accelerator
from mmcl.training.baseline import (
    choose_smoothing,
    describe_choice,
    describe_pooled,
    evaluate_baseline,
    evaluate_pooled,
    fit_baseline,
    set_linear_path,
)
from mmcl.training.evaluation import evaluate_model
from mmcl.training.optimizer import freeze_unused
from mmcl.training.progress import Progress
from mmcl.training.statistics import fit_statistics
from mmcl.training.task import TrainingTask
from mmcl.training.trainer import Trainer
from mmcl.training.unimodal_teacher import ParameterPairs, parameter_pairs
from mmcl.training.validation import check_components, check_tracker
from mmcl.training.warm_start import load_teacher, pseudo_label, warm_start
from mmcl.types import Recording, SnippetGrid

REFIT = "refit"  # folder of the second training, in the run's

Metrics = dict[str, float]


def train(
    config: RunConfig,
    data: Path | str,
    out: Path | str,
    resume: bool = False,
    start_from: Path | str | None = None,
    device: str = "auto",
) -> Metrics:
    """Train on the training split, evaluate on the test split, write the run's folder.

    Args:
        config: Every setting; ``get_dataset(name).default_config()`` has those of a data set.
        data: The data set's folder, or a manifest.
        out: The run's folder, which is made.
        resume: Go on from the last saved training state; start where there is none.
        start_from: Folder of a run, or of an imported model of the same architecture, whose selected weights the
            student begins with.
        device: "auto", "cpu" or a GPU.

    Returns:
        Test metrics by name.

    Raises:
        InputError: An option, a file or the folder is not as expected; nothing that was made is lost.

    Example:
        >>> from mmcl.datasets import get_dataset
        >>> train(get_dataset("utd-mhad").default_config(), Path("nowhere"), Path("out"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mmcl.errors.FileError: nowhere/Inertial: no such folder; ...
    """
    data, out = Path(data), Path(out)
    start_from = None if start_from is None else Path(start_from)
    dataset = get_dataset(config.dataset)
    config = check_run(config, dataset, data)
    if config.optim.encoder_lr_scale == 0 and start_from is None:
        raise InputError("--optim.encoder-lr-scale 0: would freeze untrained encoders; give --start-from")
    prepare_run_dir(out, config, data, resume, start_from)
    with run_lock(out):
        if resume and (out / METRICS).exists():
            check_finished(out, index_now(dataset, config.data, config.seed, data), data)
            print(f"{out}: finished already")
            metrics = read_metrics(out / METRICS)
            return {k.removeprefix("test "): v for k, v in metrics.items() if k.startswith("test ")}
        return _train(config, dataset, data, out, resume, start_from, device)


def check_run(config: RunConfig, dataset: Dataset, data: Path) -> RunConfig:
    """The settings with the data set's modalities filled in, checked before any signal is read.

    Args:
        config: Every setting.
        dataset: Its data set.
        data: The data set's folder, or a manifest.

    Raises:
        InputError: Naming the first option that is wrong.
    """
    dataset.check(config.data)
    config = override(config, dataset.implied_settings(config.data))
    if not config.data.modalities:
        left_out = [m for m in ("visual", "audio") if split_names(getattr(config.features, m)) in ([], ["none"])]
        modalities = tuple(m for m in dataset.modalities(data, config.data) if m not in left_out)
        config = override(config, {"data.modalities": modalities})
    check_config(config, dataset.task)
    create_grid(config.snippets, dict.fromkeys(config.data.modalities, "inertial"))
    check_components(config.loss, config.teacher.ema_decay, config.loss.mil.weight > 0)
    check_tracker(config.trainer)
    return config


def _train(
    config: RunConfig, dataset: Dataset, data: Path, out: Path, resume: bool, start_from: Path | None, device: str
) -> Metrics:
    """The steps of a training, in order."""
    splits = load_splits(
        dataset, data, config.data, config.labels, config.seed, features=config.features, device=resolve_device(device)
    )
    check_splits(splits, data, config.data, config.loss.mil.weight > 0)
    if resume:
        check_resumed(out, splits, data)
    grid = create_grid(config.snippets, {m: spec.kind for m, spec in splits.inputs.items()})
    if config.labels.unlabelled == "probe":
        splits = replace(splits, train=pseudo_label(splits, config.data, config.labels, config.seed, data, start_from))
    lines, of_missing = describe_missing_streams(splits)
    for line in lines:
        print(line, flush=True)
    accelerator = create_accelerator(config.trainer, config.loss, config.optim.gradient_accumulation_steps, out, device)
    teacher_run = Path(config.loss.distill.teacher_run) if config.loss.distill.teacher_run else None
    if start_from is not None:
        check_fits(start_from, read_run(start_from), splits, data)
    for run in (r for r in (start_from, teacher_run) if r is not None):
        if (names := names_trained_on(read_run(run), splits, data)) and accelerator.is_main_process:
            n, most = f"{len(names)} of {len(splits.test)}", ", ".join(names[:3])
            print(f"warning: {run} was trained on {n} test recordings ({most}): metrics are too high", flush=True)
    if accelerator.is_main_process:
        of_run = describe_run(config, splits, data, start_from)
        write_json(out / CONFIG, of_run)
        print_unlike(join_recordings(splits.validation, splits.test), of_run["ranges"], splits.inputs)
    learns_labels = config.loss.mil.weight > 0
    evaluate = partial(evaluate_model, grid=grid, mil=config.loss.mil)

    chosen = config.trainer.select_on
    if chosen == "test":
        print("--trainer.select-on test: the test split selects the epoch, so its metrics are too high", flush=True)

    def validate(network: nn.Module, on: torch.device) -> Metrics:
        metrics = evaluate(network, splits, chosen, device=on)
        return {f"{chosen} {k}": v for k, v in metrics.items()}

    selected = dataset.selection_metric(splits.validation) if learns_labels else "linear probe accuracy"
    fit = partial(fit_network, config, grid=grid, data=data, start_from=start_from, accelerator=accelerator)
    baseline = fit_baseline(splits, grid, config.loss.mil)
    if baseline is not None and baseline.joint_of and accelerator.is_main_process:
        print(f"linear baseline: its joint score is that of {baseline.joint_of} alone; others do not help", flush=True)
    of_baseline = evaluate_baseline(baseline, splits, "validation")
    smooths, line = choose_smoothing(baseline, splits, config.model, of_baseline, selected, config.trainer.min_gain)
    if line and accelerator.is_main_process:
        print(line, flush=True)
    fit = partial(fit, smooths=smooths)
    task, progress = fit(
        splits,
        baseline,
        out,
        resume=resume,
        validate=validate if splits.of(chosen) else None,
        validate_start=config.model.linear_path and learns_labels,
        select_by=f"{chosen} {selected}",
        select=learns_labels,  # labels must not select what was learned without them
    )
    others = of_missing | of_baseline
    others |= evaluate_pooled(splits, grid, config.loss.mil, "validation")
    fitted_to = splits
    others |= {"selected on the test split": 1.0} if chosen == "test" else {}
    if config.refits and splits.validation:
        n_epochs = broadcast_object_list([progress.best_epoch])[0]
        everything = replace(splits, train=join_recordings(splits.train, splits.validation), validation=[])
        what = (
            f"training anew, {n_epochs} epochs"
            if n_epochs
            else "no epoch is better than the linear model that it began with: fitted anew"
        )
        if accelerator.is_main_process:
            print(f"{what}, on the training and the validation split", flush=True)
        joint_of = "" if baseline is None else baseline.joint_of
        fitted_to = everything
        baseline = fit_baseline(everything, grid, config.loss.mil, joint_of)
        _, second = fit(everything, baseline, out / REFIT, resume=resume, stop_after=n_epochs)
        progress.seconds += second.seconds
        if accelerator.is_main_process:
            atomic_write(out / BEST, partial(shutil.copyfile, out / REFIT / LAST))
    accelerator.wait_for_everyone()
    load_weights(out / BEST, task.student)
    metrics = evaluate(task.student, splits, "test", device=accelerator.device)
    if accelerator.is_main_process:
        others |= evaluate_baseline(baseline, splits, "test")
        others |= evaluate_pooled(fitted_to, grid, config.loss.mil, "test")
        written = all_metrics(metrics, progress, task.student, bool(splits.validation), others)
        write_json(out / METRICS, written)
        shutil.rmtree(out / REFIT, ignore_errors=True)
        choice = describe_choice(written, dataset.headline_metric(written))
        print("\n".join(filter(None, (choice, describe_pooled(written)))), flush=True)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return metrics


def fit_network(
    config: RunConfig,
    splits: DataSplits,
    baseline: LinearBaseline | None,
    out: Path,
    *,
    grid: SnippetGrid,
    data: Path,
    start_from: Path | None,
    accelerator: Accelerator,
    resume: bool,
    smooths: bool = True,
    **options: Any,
) -> tuple[TrainingTask, Progress]:
    """Make a network for the training split and train it.

    Args:
        config: Every setting.
        splits: The data set's recordings.
        baseline: What a linear path begins with.
        out: Folder of the weights and the training state.
        grid: How recordings are cut into snippets.
        data: The data set's folder, or a manifest.
        start_from: Run whose weights the student begins with.
        accelerator: Of the run.
        resume: Go on from the training state in ``out``, where there is one.
        smooths: See ``set_linear_path``.
        options: Of ``Trainer``.
    """
    out.mkdir(parents=True, exist_ok=True)
    set_seed(config.seed)
    task, pairs = create_task(config, splits, grid)
    set_linear_path(task.student, baseline, smooths)
    if start_from is not None:
        warm_start(start_from, task.student, config.data.modalities, splits.classes, config.model.architecture)
    teacher, recordings, bag_grid = None, splits.train, grid
    if config.loss.distill.teacher_run:
        teacher, recordings, bag_grid = load_teacher(
            config.loss, config.data, config.labels, config.seed, splits, grid, data
        )
    trainer = Trainer(
        config,
        task,
        pairs,
        create_bags(config, recordings, bag_grid),
        out,
        repeats=splits.repeats,
        finished_teacher=teacher,
        accelerator=accelerator,
        **options,
    )
    return task, trainer.fit(resume)


def all_metrics(test: Metrics, progress: Progress, network: nn.Module, is_validated: bool, others: Metrics) -> Metrics:
    """What ``metrics.json`` holds: test and validation metrics of the selected epoch, time and size; undefined ones (AP
    without events) left out.

    Args:
        test: Metrics of the test split.
        progress: Of the finished training.
        network: That was evaluated.
        is_validated: There is a validation split.
        others: Metrics of the linear baseline and of the data.
    """
    metrics = {
        **{f"test {k}": v for k, v in test.items()},
        "selected epoch": progress.best_epoch,
        "training seconds": progress.seconds,
        "parameters of the network": sum(p.numel() for p in network.parameters()),
    }
    if is_validated:
        at_best = progress.history[progress.best_epoch - 1] if progress.best_epoch else progress.at_start
        metrics |= {k: v for k, v in at_best.items() if k.startswith("validation")}
    metrics |= others
    return {k: v for k, v in metrics.items() if v == v}


def create_bags(config: RunConfig, recordings: Sequence[Recording], grid: SnippetGrid) -> BagDataset:
    """The training bags, augmented as the settings say."""
    a = config.augment
    return BagDataset(
        recordings,
        grid,
        strength=a.strength,
        shuffle_hops=a.shuffle_hops,
        crop=a.crop,
        insertion=a.insertion,
        insertion_start=round(a.insertion_start * config.optim.epochs),
        max_snippets=config.snippets.max_snippets,
        modality_dropout=a.modality_dropout,
        repetition=a.repetition,
        seed=config.seed,
    )


def create_task(config: RunConfig, splits: DataSplits, grid: SnippetGrid) -> tuple[TrainingTask, ParameterPairs]:
    """The student with the training data's statistics, the unimodal teacher, and the parameters that it updates."""
    n_classes, unimodal = len(splits.classes), config.teacher.unimodal
    student = create_model(config.model, grid, n_classes, splits.inputs)
    teacher, pairs = None, ParameterPairs()
    if unimodal:
        of_teacher = replace(config.model, linear_path=False)
        teacher = create_model(of_teacher, grid, n_classes, {unimodal: splits.inputs[unimodal]})
        pairs = parameter_pairs(student, teacher, teacher_modules(unimodal, config.model))
    for network in (student, teacher):
        if network is not None:
            fit_statistics(network, splits.train)
            freeze_unused(
                network,
                config.model,
                config.loss,
                is_teacher=network is teacher,
                freeze_encoders=config.optim.encoder_lr_scale == 0,
            )
    finished = bool(config.loss.distill.teacher_run)
    return TrainingTask(student, teacher, config.loss, finished, len(splits.train)), pairs
