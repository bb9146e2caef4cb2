"""Epochs, validation, checkpoints, trackers, under Accelerate. No maths of the method here."""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import Tensor, nn
from tqdm import tqdm

from mmcl.config import Config, to_dict
from mmcl.data.bags import BagDataset, Batches, loader
from mmcl.errors import FileError, InputError
from mmcl.storage import write_json
from mmcl.training import checkpoint
from mmcl.training.schedules import contrast_weight, instance_weight, learning_rate_factor, transfer_momentum
from mmcl.training.step import HISTOGRAM, WATCHED, Learner
from mmcl.training.teacher import Average, Pairs, transfer

STATE, LAST, BEST, METRICS = "state.pt", "last.safetensors", "best.safetensors", "metrics.json"
HISTOGRAMS = "histograms.json"
HISTORY = "history.json"
Validate = Callable[[nn.Module, torch.device], dict[str, float]]


@dataclass
class Progress:
    """Where a run stands; saved with the state, so that a resumed run goes on from it."""

    epoch: int = 0
    step: int = 0
    best: float = -float("inf")
    best_epoch: int = -1
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    histograms: list[dict[str, list[float]]] = field(default_factory=list)  # counts of cosines, by epoch


def make_accelerator(config: Config, out: Path) -> Accelerator:
    o = config.optim
    tracker = None if o.tracker == "none" else o.tracker
    if o.precision == "fp16" and not torch.cuda.is_available():
        raise InputError(
            "--optim.precision fp16: needs a GPU (on a CPU it would silently be fp32); use bf16 or no"
        )
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    try:
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # without it Accelerate ignores torchrun on a CPU
            mixed_precision=o.precision,
            gradient_accumulation_steps=o.accumulate,
            # streams' own heads that only a later distillation reaches have no gradient before it
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
            if (config.objective.unimodal == 0 and config.teacher.distill > 0)
            or config.objective.row != "info-nce"  # which may not look at what the similarity learns
            else None,
            log_with=tracker,
            project_dir=str(out),
        )
    except ValueError as error:
        raise InputError(f"--optim.tracker {o.tracker}, --optim.precision {o.precision}: {error}") from error
    asked = int(os.environ.get("WORLD_SIZE", 1))
    if accelerator.num_processes != asked:
        raise InputError(
            f"{asked} processes were asked for, {accelerator.num_processes} run; start them with torchrun --nproc_per_node {asked} -m mmcl"
        )
    return accelerator


def fit(
    config: Config,
    learner: Learner,
    pairs: Pairs,
    train: BagDataset,
    validate: Validate | None,
    select_by: str,
    out: Path,
    *,
    resume: bool = False,
    accelerator: Accelerator | None = None,
    repeats: int = 1,
    guide: nn.Module | None = None,
    choose: bool = True,
) -> Progress:
    """Train until ``config.optim.epochs``; leaves best and last weights, the state and the history.

    validate(network, device) -> figures, of which ``select_by`` (higher is better) chooses the best
    epoch; None keeps the last as the best. pairs: what the unimodal teacher hands over. repeats: times
    that an epoch goes through the training bags. guide: a finished network that distils into the student, instead
    of the student's average. choose: by validation; else the last epoch is the best, whatever validation says.

    Everything random is a function of (seed, epoch, step, process), nothing of what ran before, so
    that a resumed run repeats an uninterrupted one exactly.
    """
    accelerator = accelerator or make_accelerator(config, out)
    o = config.optim
    batches = Batches(
        len(train),
        o.batch_size,
        shuffled=True,
        seed=o.seed,
        rank=accelerator.process_index,
        n_ranks=accelerator.num_processes,
        repeats=repeats,
        views=config.bags.views,
        groups=train.groups if config.bags.batches == "group" else None,
    )
    per_group = 0 if o.compile else config.bags.per_group  # a compiled network wants like shapes
    bags_of_epoch = loader(train, batches, config.bags.workers, per_group)
    optimizer = torch.optim.AdamW(_parameter_groups(learner, config), weight_decay=o.weight_decay, fused=True)
    average = Average(learner.student, config.teacher.average).to(accelerator.device)
    finished = None if guide is None else guide.eval().to(accelerator.device)
    progress = Progress()
    if resume and (out / STATE).exists():
        progress = _restore(out / STATE, learner, average, optimizer, accelerator.scaler)
    if o.compile:
        for part in (learner.student, learner.teacher):
            if part is not None:
                part.compile(dynamic=True)
    wrapped, optimizer = accelerator.prepare(learner, optimizer)
    n_steps = len(batches) * o.epochs
    _set_rate(optimizer, config, progress.step, n_steps)
    if o.tracker != "none":
        accelerator.init_trackers(
            "mmcl" if o.tracker != "tensorboard" else "tensorboard", config=_flat(to_dict(config))
        )
    bar = tqdm(
        total=n_steps,
        initial=progress.step,
        unit="step",
        disable=not accelerator.is_main_process or not sys.stderr.isatty(),
        dynamic_ncols=True,
    )
    for epoch in range(progress.epoch, o.epochs):
        started = time.perf_counter()
        batches.epoch = epoch
        sums: dict[str, Tensor] = {}
        wrapped.train()
        if o.encoder_rate == 0:  # frozen: neither dropout nor statistics of these recordings
            learner.student.get_submodule("encoder").eval()
        for number, bags in enumerate(bags_of_epoch, 1):
            is_update = number % o.accumulate == 0 or number == len(batches)
            set_seed(_mix(o.seed, progress.step, accelerator.process_index))
            bags = bags.to(accelerator.device)
            losses = _step(
                accelerator,
                wrapped,
                optimizer,
                average,
                finished,
                bags,
                config,
                progress.step / n_steps,
                epoch,
                is_update,
            )
            _set_rate(optimizer, config, progress.step + 1, n_steps)
            if config.teacher.transfer == "step":
                transfer(pairs, transfer_momentum(progress.step / n_steps, config.teacher.momentum))
            sums = {k: sums[k] + v if k in sums else v for k, v in losses.items()} if sums else dict(losses)
            progress.step += 1
            bar.update()
        if config.teacher.transfer == "epoch":
            transfer(pairs, transfer_momentum(epoch / o.epochs, config.teacher.momentum))
        progress.epoch = epoch + 1
        counts = {k.removeprefix(HISTOGRAM): sums.pop(k) for k in list(sums) if k.startswith(HISTOGRAM)}
        figures = _mean_losses(accelerator, sums, len(batches))
        if counts:
            _count(accelerator, progress, counts)
        if not math.isfinite(figures["loss total"]) or not _is_finite(learner):
            raise InputError(
                f"{out}: the loss or a weight became infinite or NaN in epoch {epoch + 1}; lower --optim.learning-rate or use --optim.precision no"
            )
        judged = average.network if config.teacher.average > 0 else accelerator.unwrap_model(wrapped).student
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            is_judged = validate is not None and (
                progress.epoch % o.validate_every == 0 or progress.epoch == o.epochs
            )
            if validate is not None and is_judged:
                figures |= validate(judged, accelerator.device)
            progress.seconds += time.perf_counter() - started
            progress.history.append({"epoch": progress.epoch, **figures})
            if is_judged and choose:
                _choose(progress, figures[select_by], judged, out)
            elif validate is None or not choose:
                _choose(progress, float(epoch), judged, out)
            if progress.epoch % o.save_every == 0 or progress.epoch == o.epochs:
                _save(
                    out, accelerator.unwrap_model(wrapped), average, optimizer, accelerator.scaler, progress
                )
        accelerator.log(figures, step=epoch + 1)
        bar.set_postfix(
            {
                k.removeprefix("validation "): f"{v:.3f}"
                for k, v in figures.items()
                if k in ("loss total", select_by)
            }
        )
        if accelerator.is_main_process and bar.disable:
            _say(progress, o.epochs, figures, select_by)
        accelerator.wait_for_everyone()
    bar.close()
    if accelerator.is_main_process:
        checkpoint.save_weights(
            out / LAST,
            average.network if config.teacher.average > 0 else accelerator.unwrap_model(wrapped).student,
        )
    return progress


def _step(
    accelerator,
    learner,
    optimizer,
    average,
    finished,
    bags,
    config: Config,
    done: float,
    epoch: int,
    is_update: bool,
) -> dict[str, Tensor]:
    t, o = config.teacher, config.objective
    distill = t.distill if finished is not None or done >= t.distill_from else 0.0
    mining = o.same != "none" and o.pair > 0 and done >= o.same_from
    is_guided = (
        distill > 0
        or mining
        or (o.pair > 0 and o.memory > 0)
        or accelerator.unwrap_model(learner).asks_teacher
    )
    with nullcontext() if is_update else accelerator.no_sync(learner):
        with accelerator.autocast():
            guide = None
            if is_guided:
                with torch.no_grad():
                    guide = (average if finished is None else finished)(bags)
            contrast = contrast_weight(epoch, o.contrast, o.contrast_rise)
            instance = instance_weight(done, o.instance, o.instance_end) if o.instance > 0 else 0.0
            losses = learner(bags, contrast, instance, distill, guide, mining, done)
        accelerator.backward(losses["total"])
    if is_update:
        if config.optim.clip > 0:
            accelerator.clip_grad_norm_(learner.parameters(), config.optim.clip)
        optimizer.step()
        optimizer.zero_grad()
        average.update(accelerator.unwrap_model(learner).student)
    return {k: v.detach() for k, v in losses.items()}


def _parameter_groups(learner: Learner, config: Config) -> list[dict[str, Any]]:
    """Encoders, the rest of the student, teacher and parts of the objective, each with decayed weights and
    undecayed biases and norms."""
    student, ratio = learner.student, config.optim.encoder_rate
    encoders = list(student.get_submodule("encoder").parameters()) if ratio != 1 else []
    apart = {id(p) for p in encoders}
    rest = [p for p in student.parameters() if id(p) not in apart]
    teacher = [] if learner.teacher is None else list(learner.teacher.parameters())
    parts = [*learner.contrasts.parameters(), *learner.sequence_parts.parameters()]
    groups = []
    for members, ratio_of in (
        (rest, 1.0),
        (encoders, ratio),
        (teacher, config.teacher.learning_rate_ratio),
        (parts, 1.0),
    ):
        rate = config.optim.learning_rate * ratio_of
        used = [p for p in members if p.requires_grad]
        if not used:
            continue
        groups.append({"params": [p for p in used if p.ndim > 1], "lr": rate, "peak": rate})
        groups.append(
            {"params": [p for p in used if p.ndim <= 1], "lr": rate, "peak": rate, "weight_decay": 0.0}
        )
    return groups


def _is_finite(learner: Learner) -> bool:
    """Looked at once an epoch."""
    total = torch.stack([p.detach().float().norm() for p in learner.parameters()]).sum()
    return bool(total.isfinite())


def _set_rate(optimizer, config: Config, step: int, n_steps: int) -> None:
    o = config.optim
    n_decay = n_steps // o.epochs * o.decay_epochs or None
    factor = learning_rate_factor(step, n_steps, o.warmup, n_decay)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def _mix(seed: int, step: int, rank: int) -> int:
    """One number of three, different for every step and process."""
    return (seed * 1_000_003 + step) * 4_099 % (2**31) + rank


def _mean_losses(accelerator: Accelerator, sums: dict[str, Tensor], n: int) -> dict[str, float]:
    names = sorted(sums)
    mean = accelerator.reduce(torch.stack([sums[k].float() for k in names]) / n, "mean")
    name = lambda k: k.removeprefix(WATCHED) if k.startswith(WATCHED) else f"loss {k}"
    return {name(k): v for k, v in zip(names, mean.tolist(), strict=True)}


def _count(accelerator: Accelerator, progress: Progress, counts: dict[str, Tensor]) -> None:
    """Counts of an epoch's cosines, equal bins from -1 to 1, to the progress and to TensorBoard."""
    summed = {k: accelerator.reduce(v.float(), "sum") for k, v in sorted(counts.items())}
    made = {k: v.tolist() for k, v in summed.items()}
    progress.histograms.append(made)
    for tracker in accelerator.trackers:
        if tracker.name != "tensorboard" or not accelerator.is_main_process:
            continue
        for name, of_bin in made.items():
            edges = [2 * i / len(of_bin) - 1 for i in range(len(of_bin) + 1)]
            middle = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
            tracker.writer.add_histogram_raw(
                name,
                min=-1.0,
                max=1.0,
                num=sum(of_bin),
                sum=sum(n * x for n, x in zip(of_bin, middle, strict=True)),
                sum_squares=sum(n * x * x for n, x in zip(of_bin, middle, strict=True)),
                bucket_limits=edges[1:],
                bucket_counts=of_bin,
                global_step=len(progress.histograms),
            )


def _choose(progress: Progress, value: float, network: nn.Module, out: Path) -> None:
    """Keep the weights of the epoch that is the best so far."""
    value = value if value == value else -float("inf")  # undefined, as AP without events
    if value > progress.best or progress.best_epoch < 0:
        progress.best, progress.best_epoch = value, progress.epoch
        checkpoint.save_weights(out / BEST, network)


def _save(out: Path, learner: Learner, average: Average, optimizer, scaler, progress: Progress) -> None:
    state = {
        "learner": learner.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": {} if scaler is None else scaler.state_dict(),
        "progress": vars(progress),
    }
    checkpoint.save_state(out / STATE, state)
    write_json(out / HISTORY, progress.history)
    if progress.histograms:
        write_json(out / HISTOGRAMS, progress.histograms)


def _restore(path: Path, learner: Learner, average: Average, optimizer, scaler) -> Progress:
    state = checkpoint.load_state(path)
    try:
        checkpoint.match_weights(path, state["learner"], learner.state_dict())
        learner.load_state_dict(state["learner"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler is not None:
            scaler.load_state_dict(state["scaler"])
        return Progress(**state["progress"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise FileError(
            path, f"not a training state of this run ({error})", "start again in another --out"
        ) from error


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for k, v in values.items():
        if isinstance(v, dict):
            flat |= _flat(v, f"{prefix}{k}.")
        else:
            flat[prefix + k] = v if isinstance(v, (int, float, str, bool)) else str(v)
    return flat


def _say(progress: Progress, epochs: int, figures: dict[str, float], select_by: str) -> None:
    shown: Iterable[str] = (k for k in ("loss total", select_by) if k in figures)
    text = "  ".join(f"{k} {figures[k]:.4f}" for k in shown)
    print(f"epoch {progress.epoch}/{epochs}  {text}  {progress.seconds:.0f} s", flush=True)
