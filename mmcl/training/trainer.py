"""Epochs, validation, saving and trackers, under Accelerate. No maths of the method here."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from torch import Tensor, nn
from tqdm import tqdm

from mmcl.config.schema import RunConfig
from mmcl.data.bags import BagDataset
from mmcl.data.batch_sampler import BatchSampler
from mmcl.data.loader import bag_loader
from mmcl.errors import InputError
from mmcl.runs.run_dir import BEST, LAST, STATE
from mmcl.runs.weights import save_weights
from mmcl.stop import HeldSignals
from mmcl.training.accelerator import create_accelerator
from mmcl.training.checkpoint import load_checkpoint, save_checkpoint, write_history
from mmcl.training.cuda_graphs import Gradients, GraphedGradients, is_recordable
from mmcl.training.ema import ModelEMA
from mmcl.training.optimizer import create_optimizer, set_learning_rate
from mmcl.training.progress import Progress
from mmcl.training.schedules import seed_of_step, teacher_momentum
from mmcl.training.step_state import StepState, state_of_step
from mmcl.training.task import HISTOGRAM, MONITORED, TrainingTask
from mmcl.training.trackers import flatten, log_histograms
from mmcl.training.unimodal_teacher import ParameterPairs, momentum_update
from mmcl.types import Bags

UPDATES_BETWEEN_CHECKS = 20  # of several processes: whether a save is due

Validate = Callable[[nn.Module, torch.device], dict[str, float]]


class Trainer:
    """Trains a task and leaves best and last weights, the state and the history in a folder.

    Everything random is a function of (seed, epoch, step, process), nothing of what ran before, so that a resumed run
    repeats an uninterrupted one exactly.

    Args:
        config: Complete settings.
        task: Student, teacher and objectives.
        parameter_pairs: What the unimodal teacher updates.
        bags: The training bags.
        out: The run's folder.
        validate_start: Validate before the first step too; then epoch 0, the network as it is made, may be the best.
        validate: (network, device) -> metrics; None keeps the last epoch as the best.
        select_by: The metric that selects the epoch, higher is better.
        select: By validation; else the last epoch is the best, whatever validation says.
        repeats: Times that an epoch goes through the bags.
        finished_teacher: A network that distils into the student, instead of the EMA model.
        accelerator: From the settings by default.
        stop_after: Epochs after which training ends, of the schedule's; all by default.
    """

    def __init__(
        self,
        config: RunConfig,
        task: TrainingTask,
        parameter_pairs: ParameterPairs,
        bags: BagDataset,
        out: Path,
        *,
        validate: Validate | None = None,
        validate_start: bool = False,
        select_by: str = "",
        select: bool = True,
        repeats: int = 1,
        finished_teacher: nn.Module | None = None,
        accelerator: Accelerator | None = None,
        stop_after: int | None = None,
    ):
        self.config, self.task, self.parameter_pairs, self.out = config, task, parameter_pairs, out
        self.validate, self.select_by, self.select = validate, select_by, select
        self.validate_start = validate_start and validate is not None and select
        self.accelerator = accelerator or create_accelerator(
            config.trainer, config.loss, config.optim.gradient_accumulation_steps, out
        )
        self.progress = Progress()
        self.is_tracked = config.trainer.tracker != "none" and stop_after is None
        self.n_epochs = config.optim.epochs if stop_after is None else stop_after
        self.sampler = self._sampler(bags, repeats)
        device = self.accelerator.device
        # a compiled network wants like shapes, and a GPU few kernels
        bucket_size = 0 if config.trainer.compile or device.type == "cuda" else config.loader.bucket_size
        self.loader = bag_loader(bags, self.sampler, config.loader.num_workers, bucket_size)
        self.optimizer: Any = create_optimizer(task, config.optim, config.teacher.lr_scale)
        self.ema = ModelEMA(task.student, config.teacher.ema_decay).to(device)
        self.finished_teacher = None if finished_teacher is None else finished_teacher.eval().to(device)
        self.wrapped: nn.Module = task
        self.gradients: Gradients = self._gradients
        if config.trainer.cuda_graphs and is_recordable(
            config.trainer, config.optim.gradient_accumulation_steps, task, self.accelerator
        ):
            self.gradients = GraphedGradients(self._gradients, list(task.parameters()), device)
        self.sums: dict[str, Tensor] = {}  # of the losses of the epoch that is under way
        self.saved_s = time.monotonic()

    def _sampler(self, bags: BagDataset, repeats: int) -> BatchSampler:
        loader = self.config.loader
        return BatchSampler(
            len(bags),
            loader.batch_size,
            shuffled=True,
            seed=self.config.seed,
            rank=self.accelerator.process_index,
            n_ranks=self.accelerator.num_processes,
            repeats=repeats,
            views=loader.views,
            groups=bags.groups if loader.sampling == "group" else None,
        )

    @property
    def n_steps(self) -> int:
        """Steps of the whole training."""
        return len(self.sampler) * self.config.optim.epochs

    @property
    def evaluated_model(self) -> nn.Module:
        """What is evaluated and saved: the EMA model where there is one."""
        return self.ema.network if self.config.teacher.ema_decay > 0 else self.task.student

    def fit(self, resume: bool = False) -> Progress:
        """Train until the last epoch.

        Args:
            resume: Go on from the training state in the folder, where there is one.

        Raises:
            InputError: A loss or a weight became infinite.
            FileError: The training state is of another run.
        """
        config = self.config
        if resume and (self.out / STATE).exists():
            self._restore()
            if self.accelerator.is_main_process:
                write_history(self.out, self.progress)  # a kill may have come before it
        if config.trainer.compile:
            for network in (self.task.student, self.task.teacher):
                if network is not None:
                    network.compile(dynamic=True)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.task, self.optimizer)
        set_learning_rate(self.optimizer, config.optim, self.progress.step, self.n_steps)
        if self.is_tracked:
            project = "tensorboard" if config.trainer.tracker == "tensorboard" else "mmcl"
            self.accelerator.init_trackers(project, config=flatten(config))
        hide = not self.accelerator.is_main_process or not sys.stderr.isatty()
        if self.validate_start and not self.progress.step:
            assert self.validate is not None
            self.progress.at_start = self.validate(self.evaluated_model, self.accelerator.device)
            if self.accelerator.is_main_process:
                self._save()  # before the weights, which nothing could be resumed from
                self._keep_best(self.progress.at_start[self.select_by])
                self.progress.best += self.config.trainer.min_gain
                self._save()
        with tqdm(
            total=len(self.sampler) * self.n_epochs,
            initial=self.progress.step,
            unit="step",
            disable=hide,
            dynamic_ncols=True,
        ) as bar:
            for epoch in range(self.progress.epoch, self.n_epochs):
                started = time.perf_counter()
                losses = self._train_epoch(epoch, bar)
                self._end_epoch(epoch, losses, started, bar)
        if self.accelerator.is_main_process:
            save_weights(self.out / LAST, self.evaluated_model)
        return self.progress

    def _train_epoch(self, epoch: int, bar: tqdm) -> dict[str, Tensor]:
        """One pass over the bags, or what is left of it; returns the sums of the losses."""
        config, progress = self.config, self.progress
        self.sampler.epoch, self.sampler.start = epoch, progress.step - epoch * len(self.sampler)
        self.wrapped.train()
        if config.optim.encoder_lr_scale == 0:  # frozen: neither dropout nor statistics of these recordings
            self.task.student.get_submodule("encoder").eval()
        accumulated = config.optim.gradient_accumulation_steps
        with HeldSignals() as signals:
            for number, bags in enumerate(self.loader, self.sampler.start + 1):
                is_update = number % accumulated == 0 or number == len(self.sampler)
                set_seed(seed_of_step(config.seed, progress.step, self.accelerator.process_index))
                losses = self._step(bags, epoch, is_update)
                set_learning_rate(self.optimizer, config.optim, progress.step + 1, self.n_steps)
                if config.teacher.update == "step":
                    self._update_from_teacher(progress.step / self.n_steps)
                self.sums = {k: self.sums[k] + v if k in self.sums else v for k, v in losses.items()}
                progress.step += 1
                bar.update()
                if is_update:
                    self._save_within_epoch(number // accumulated, signals)
        if config.teacher.update == "epoch":
            self._update_from_teacher(epoch / config.optim.epochs)
        sums, self.sums = self.sums, {}
        return sums

    def _save_within_epoch(self, n_updates: int, signals: HeldSignals) -> None:
        """Save when the last save is long ago, or when a signal ends the training.

        Of several processes the first one decides, now and then, so that all add up their losses.
        """
        minutes, accelerator = self.config.trainer.save_every_minutes, self.accelerator
        is_alone = accelerator.num_processes == 1
        is_due = 0 < minutes <= (time.monotonic() - self.saved_s) / 60
        if not is_alone:
            is_due = n_updates % UPDATES_BETWEEN_CHECKS == 0 and minutes > 0 and broadcast_object_list([is_due])[0]
            if is_due:
                self.sums = {k: accelerator.reduce(self.sums[k], "mean") for k in sorted(self.sums)}
        if accelerator.is_main_process and (is_due or (is_alone and signals.received is not None)):
            self._save()
            if signals.received is not None:
                print(f"{self.out}: saved after step {self.progress.step} of {self.n_steps}", flush=True)
        signals.raise_received()

    def _update_from_teacher(self, done: float) -> None:
        momentum_update(self.parameter_pairs, teacher_momentum(done, self.config.teacher.momentum))

    def _step(self, bags: Bags, epoch: int, is_update: bool) -> dict[str, Tensor]:
        """Losses and gradients of a batch, and an update where it is due."""
        done = self.progress.step / self.n_steps
        state = state_of_step(self.config.loss, epoch, done, self.finished_teacher is not None)
        with nullcontext() if is_update else self.accelerator.no_sync(self.wrapped):
            losses = self.gradients(bags, state)
        if is_update:
            if self.config.optim.max_grad_norm > 0:
                self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.optim.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.ema.update(self.task.student)
        return losses

    def _gradients(self, bags: Bags, state: StepState) -> dict[str, Tensor]:
        """Losses of a batch; their gradients are left in the parameters."""
        bags = bags.to(self.accelerator.device)
        with self.accelerator.autocast():
            teacher = None
            if self._needs_teacher(state):
                with torch.no_grad():
                    teacher = (self.finished_teacher or self.ema)(bags)
            losses = self.wrapped(bags, state, teacher)
        self.accelerator.backward(losses["total"])
        return {k: v.detach() for k, v in losses.items()}

    def _needs_teacher(self, state: StepState) -> bool:
        recording = self.config.loss.recording
        return (
            state.distill_weight > 0
            or state.find_false_negatives
            or (recording.weight > 0 and recording.memory_size > 0)
            or self.task.reads_teacher
        )

    def _end_epoch(self, epoch: int, sums: dict[str, Tensor], started: float, bar: tqdm) -> None:
        """Mean losses, validation, selection and saving."""
        config, progress, accelerator = self.config, self.progress, self.accelerator
        progress.epoch = epoch + 1
        counts = {k.removeprefix(HISTOGRAM): sums.pop(k) for k in list(sums) if k.startswith(HISTOGRAM)}
        metrics = self._mean_losses(sums)
        if counts:
            progress.histograms.append(log_histograms(accelerator, counts, len(progress.histograms) + 1))
        if not math.isfinite(metrics["loss total"]) or not self._is_finite():
            terms = [k for k, v in metrics.items() if k.startswith("loss ") and not math.isfinite(v)]
            what = " and ".join(k for k in terms if k != "loss total") or "a weight"
            raise InputError(
                f"{self.out}: {what} became infinite or NaN in epoch {epoch + 1}; lower --optim.learning-rate or use "
                "--trainer.precision no"
            )
        accelerator.wait_for_everyone()
        last = progress.epoch == self.n_epochs
        is_validated = self.validate is not None and (progress.epoch % config.trainer.validate_every == 0 or last)
        if self.validate is not None and is_validated:
            metrics |= self.validate(self.evaluated_model, accelerator.device)
        if accelerator.is_main_process:
            progress.seconds += time.perf_counter() - started
            progress.history.append({"epoch": progress.epoch, **metrics})
            if is_validated and self.select:
                self._keep_best(metrics[self.select_by])
            elif self.validate is None or not self.select:
                self._keep_best(float(epoch))
            if progress.epoch % config.trainer.save_every == 0 or last:
                self._save()
        if self.is_tracked:
            accelerator.log(metrics, step=epoch + 1)
        self._report(metrics, bar)
        accelerator.wait_for_everyone()

    def _mean_losses(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        names = sorted(sums)
        stacked = torch.stack([sums[k].float() for k in names]) / len(self.sampler)
        mean = self.accelerator.reduce(stacked, "mean")
        shown = [k.removeprefix(MONITORED) if k.startswith(MONITORED) else f"loss {k}" for k in names]
        return dict(zip(shown, mean.tolist(), strict=True))

    def _is_finite(self) -> bool:
        total = torch.stack([p.detach().float().norm() for p in self.task.parameters()]).sum()
        return bool(total.isfinite())

    def _keep_best(self, value: float) -> None:
        """Keep the weights of the epoch that is the best so far: of equal ones the latest, which has learned most, but
        never one that is only as good as the network was at the start."""
        progress = self.progress
        value = value if value == value else -float("inf")  # undefined, as AP without events
        is_equal = value == progress.best and progress.best_epoch > 0
        if value > progress.best or is_equal or progress.best_epoch < 0:
            progress.best, progress.best_epoch = value, progress.epoch
            save_weights(self.out / BEST, self.evaluated_model)

    def _report(self, metrics: Mapping[str, float], bar: tqdm) -> None:
        shown = {k: metrics[k] for k in ("loss total", self.select_by) if k in metrics}
        bar.set_postfix({k.removeprefix("validation "): f"{v:.3f}" for k, v in shown.items()})
        if self.accelerator.is_main_process and bar.disable:
            text = "  ".join(f"{k} {v:.4f}" for k, v in shown.items())
            progress = self.progress
            print(
                f"epoch {progress.epoch}/{self.n_epochs}  {text}  {progress.seconds:.0f} s",
                flush=True,
            )

    def _save(self) -> None:
        save_checkpoint(self.out, self._parts, self.progress, self.sums)
        self.saved_s = time.monotonic()

    def _restore(self) -> None:
        self.progress, sums = load_checkpoint(self.out, self._parts)
        self.sums = {k: v.to(self.accelerator.device) for k, v in sums.items()}

    @property
    def _parts(self) -> dict[str, Any]:
        """What is saved, and restored, beside the progress."""
        return {
            "task": self.task,
            "ema": self.ema,
            "optimizer": self.optimizer,
            "scaler": self.accelerator.scaler,
        }
