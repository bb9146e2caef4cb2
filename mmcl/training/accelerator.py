"""The accelerator of a training."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedDataParallelKwargs

from mmcl.config.loss_schema import LossConfig
from mmcl.config.schema import TrainerConfig
from mmcl.errors import InputError
from mmcl.runs.model import resolve_device


def device_of_process(device: str = "auto") -> torch.device:
    """Where a process computes; one of several that torchrun started joins the others.

    Args:
        device: "auto", "cpu" or a GPU.
    """
    chosen = resolve_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return chosen
    return torch.device(str(PartialState(cpu=chosen.type == "cpu").device))


def create_accelerator(
    config: TrainerConfig,
    loss: LossConfig,
    gradient_accumulation_steps: int,
    out: Path,
    device: str = "auto",
) -> Accelerator:
    """The accelerator of these settings.

    Args:
        config: Precision and tracker.
        loss: Which parameters get a gradient.
        gradient_accumulation_steps: Batches of a step.
        out: The run's folder, for the tracker.
        device: "auto" takes GPUs where there are any; "cpu"; or a GPU, "cuda:1".

    Raises:
        InputError: The precision or tracker cannot be used here, or fewer processes run than were asked for.
    """
    t = config
    chosen = resolve_device(device)
    on_cpu = chosen.type == "cpu"
    if t.precision == "fp16" and (on_cpu or not torch.cuda.is_available()):
        raise InputError("--trainer.precision fp16: needs a GPU (on a CPU it would silently be fp32); use bf16 or no")
    AcceleratorState._reset_state(
        reset_partial_state=PartialState._shared_state.get("_cpu", on_cpu) != on_cpu
    )  # an earlier run of this process may have had another precision
    # heads that only a later distillation reaches have no gradient before it; other pair losses than InfoNCE may not
    # read what a similarity learns
    some_unused = (loss.mil.unimodal == 0 and loss.distill.weight > 0) or any(
        c.pair_loss != "info-nce" for c in loss.contrasts.values()
    )
    try:
        accelerator = Accelerator(
            cpu=on_cpu,  # without it Accelerate ignores torchrun on a CPU
            mixed_precision=t.precision,
            gradient_accumulation_steps=gradient_accumulation_steps,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)] if some_unused else None,
            log_with=None if t.tracker == "none" else t.tracker,
            project_dir=str(out),
        )
    except ValueError as error:
        raise InputError(f"--trainer.tracker {t.tracker}, --trainer.precision {t.precision}: {error}") from error
    n_requested = int(os.environ.get("WORLD_SIZE", 1))
    if accelerator.num_processes != n_requested:
        raise InputError(
            f"{n_requested} processes were asked for, {accelerator.num_processes} run; start them with torchrun "
            f"--nproc_per_node {n_requested} -m mmcl"
        )
    return accelerator
