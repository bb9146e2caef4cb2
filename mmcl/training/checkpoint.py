"""The state of a training in its folder: all that it needs to go on, and its history beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmcl.errors import FileError
from mmcl.io import write_json
from mmcl.runs.run_dir import HISTOGRAMS, HISTORY, STATE
from mmcl.runs.training_state import load_state, save_state
from mmcl.runs.weights import match_weights
from mmcl.training.progress import Progress


def save_checkpoint(out: Path, parts: Mapping[str, Any], progress: Progress, sums: Mapping[str, Tensor]) -> None:
    """Write the state, then the history.

    Args:
        out: The run's folder.
        parts: Task, EMA model, optimizer and scaler (None without), by name.
        progress: Where the training stands.
        sums: Of the losses of the epoch that is under way.

    Raises:
        FileError: A file cannot be written.
    """
    states = {name: {} if part is None else part.state_dict() for name, part in parts.items()}
    save_state(out / STATE, {**states, "progress": vars(progress), "sums": dict(sums)})
    write_history(out, progress)


def write_history(out: Path, progress: Progress) -> None:
    """Write losses and metrics of every epoch, for people and plots."""
    write_json(out / HISTORY, progress.history)
    if progress.histograms:
        write_json(out / HISTOGRAMS, progress.histograms)


def load_checkpoint(out: Path, parts: Mapping[str, Any]) -> tuple[Progress, dict[str, Tensor]]:
    """Give the parts the state that was saved.

    Args:
        out: The run's folder.
        parts: As they were saved.

    Returns:
        Where the training stands, and the sums of the losses of the epoch that is under way.

    Raises:
        FileError: The state is unreadable, or of another run.
    """
    path = out / STATE
    state = load_state(path)
    try:
        match_weights(path, state["task"], parts["task"].state_dict())
        for name, part in parts.items():
            if part is not None:
                part.load_state_dict(state[name])
        return Progress(**state["progress"]), state.get("sums", {})
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise FileError(path, f"not a training state of this run ({error})", "start again in another --out") from error
