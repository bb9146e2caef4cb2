"""The trained network of a run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mmcl.errors import FileError, InputError
from mmcl.io import first_line
from mmcl.models.build import create_model
from mmcl.runs.run_dir import BEST, CONFIG, RunInfo, read_run
from mmcl.runs.weights import check_shapes, load_weights


def load_model(run: Path, weights: str = BEST, needs_scores: bool = True) -> tuple[nn.Module, RunInfo]:
    """The network of a run, in evaluation mode, and what is known of the run.

    Args:
        run: Folder of a run, or of an imported or shared model.
        weights: File of the weights in it.
        needs_scores: Refuse a run that learned without labels.

    Raises:
        InputError: The run is not readable, or has no scores.
    """
    info = read_run(run)
    if needs_scores and not info.has_scores:
        raise InputError(f"{run}: learned without labels and has no scores; mmcl finetune it first")
    network = _network(run, info, run / weights)
    load_weights(run / weights, network)
    return network.eval(), info


def _network(run: Path, info: RunInfo, weights: Path) -> nn.Module:
    """The network that the settings describe; its shapes are held against the weights' before memory is taken."""
    parts = (info.config.model, info.grid, len(info.classes), info.inputs)
    try:
        with torch.device("meta"):
            expected = create_model(*parts).state_dict()
        check_shapes(weights, expected)
        return create_model(*parts)
    except InputError:
        raise
    except Exception as error:  # settings that somebody wrote by hand
        raise FileError(
            run / CONFIG, f"its settings make no network ({type(error).__name__}: {first_line(error)})", "restore it"
        ) from error


def resolve_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises:
        InputError: This machine has none such.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        current = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return torch.device("cpu") if current is None else current
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: not usable here ({str(error).splitlines()[0]}); use cpu") from error
