"""A run's folder: what is in it, who may write it, and how it is read again.

config.json        every setting, the seed, versions, classes
state.pt           the whole state of training, to resume from
best.safetensors   the selected epoch's weights (the last epoch's, without validation)
last.safetensors   the last epoch's weights
history.json       losses and validation figures of every epoch
metrics.json       every figure by its true name
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

import mmcl
from mmcl.config import Config, from_dict, to_dict
from mmcl.errors import FileError, InputError
from mmcl.features.frontends import Card, card_from
from mmcl.models.build import Shape, clock_of, network
from mmcl.storage import read_json
from mmcl.tasks import TASKS, Task
from mmcl.training import checkpoint
from mmcl.training.loop import BEST, METRICS, STATE

CONFIG = "config.json"


def describe(config: Config, task: Task, data: Path, start_from: Path | None = None) -> dict[str, Any]:
    """What is saved as config.json: enough to repeat the run and to use its network."""
    return {
        **versions(),
        "processes": n_asked(),
        "data": str(data.resolve()),
        "start from": None if start_from is None else str(start_from.resolve()),
        "classes": list(task.classes),
        "channels": dict(task.n_channels),
        "front-ends": {m: asdict(card) for m, card in task.front_ends.items()},
        "bags": {"train": len(task.train), "validation": len(task.validation), "test": len(task.test)},
        "config": to_dict(config),
    }


def versions() -> dict[str, str]:
    return {"mmcl": mmcl.__version__, "torch": torch.__version__, "python": platform.python_version()}


def read_config(run: Path) -> tuple[Config, tuple[str, ...], Path]:
    """Settings, classes and data folder of a run."""
    path = run / CONFIG
    saved = read_json(path)
    try:
        config = from_dict(Config, saved["config"], path)
        classes, data = tuple(saved["classes"]), Path(saved["data"])
        if config.task not in TASKS:
            raise KeyError(config.task)
        return config, classes, data
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(
            path, f"not the settings of a run ({error!r})", "is this a folder that mmcl train made?"
        ) from error


def knows_data(run: Path) -> bool:
    """Imported and shared models do not."""
    return bool(read_json(run / CONFIG).get("data"))


def data_of(run: Path) -> Path:
    """The folder that the run was trained on."""
    if not knows_data(run):
        raise InputError(f"{run}: an imported model has no data of its own; give --data")
    return read_config(run)[2]


def began_with(run: Path) -> Path | None:
    """The run whose weights this one began with."""
    before = read_json(run / CONFIG).get("start from")
    return None if before is None else Path(before)


def load_network(
    run: Path, weights: str = BEST, to_score: bool = True
) -> tuple[nn.Module, Config, tuple[str, ...]]:
    """The trained network of a run, its settings and classes. to_score: InputError when it has no scores,
    because it learned without labels."""
    config, classes, _ = read_config(run)
    if to_score and config.objective.supervised == 0:
        raise InputError(f"{run}: learned without labels and has no scores; mmcl finetune it first")
    student = network(config, clock_of(config), len(classes), n_channels=channels_of(run))
    checkpoint.load_weights(run / weights, student)
    return student.eval(), config, classes


def front_ends_of(run: Path) -> dict[str, Card]:
    """What made the features that the run was trained on, by modality, where that is known."""
    saved = read_json(run / CONFIG).get("front-ends", {})
    return {m: card_from(card, run / CONFIG) for m, card in saved.items()}


def channels_of(run: Path) -> dict[str, Shape]:
    """What one frame holds that the run's network takes, by modality; of UTD-MHAD's own sensors nothing."""
    return read_json(run / CONFIG).get("channels", {})


def same_front_ends(run: Path, task: Task) -> None:
    """Raises InputError when the task's features were made by another front-end than the run's."""
    known = front_ends_of(run)
    for m, card in task.front_ends.items():
        found = m in known and known[m].differs_from(card)
        if found:
            raise InputError(f"{run}: was trained on {m} features of another front-end ({found} of these)")


def prepare_folder(
    out: Path, config: Config, data: Path, resume: bool, start_from: Path | None = None
) -> None:
    """Refuse to overwrite a run, and to resume one with other settings, first weights, data or processes."""
    if resume and (out / CONFIG).exists():
        before, _, trained_on = read_config(out)
        do = "resume with the same, or train into another --out"
        if before != config:
            raise FileError(
                out / CONFIG, f"the run was made with other settings ({_difference(before, config)})", do
            )
        if trained_on != data.resolve():
            raise FileError(out / CONFIG, f"the run was made on {trained_on}, not on {data.resolve()}", do)
        began, begin = read_json(out / CONFIG).get("start from"), start_from and str(start_from.resolve())
        if began != begin:
            say = lambda of: f"the weights of {of}" if of else "weights of its own"
            raise FileError(out / CONFIG, f"the run began with {say(began)}, not with {say(begin)}", do)
        processes = read_json(out / CONFIG).get("processes")
        if processes != n_asked():
            raise FileError(out / CONFIG, f"the run was made by {processes} processes, not {n_asked()}", do)
    left = [name for name in (STATE, BEST, METRICS) if (out / name).exists()]
    if left and not resume:
        raise FileError(out, "already holds a run", "continue it with --resume or choose another --out")
    if left and STATE not in left:
        raise FileError(
            out / STATE, f"is missing beside {left[0]}", "nothing to resume from; choose another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".lock").touch()
    except OSError as error:
        raise FileError(out, f"cannot be written ({error.strerror})", "choose another --out") from error


def _difference(a: Config, b: Config) -> str:
    for name, ours in to_dict(a).items():
        theirs = to_dict(b)[name]
        if isinstance(ours, dict):
            for key in ours:
                if ours[key] != theirs[key]:
                    return f"{name}.{key}: {ours[key]}, now {theirs[key]}"
        elif ours != theirs:
            return f"{name}: {ours}, now {theirs}"
    return "?"


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Keeps a second training out of the folder. The system drops the lock with the process, and workers
    that outlive a killed one for a moment do not hold it."""
    if fcntl is None or int(os.environ.get("RANK", 0)) != 0:
        yield
        return
    with open(out / ".lock", "w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FileError(out, "is being trained into by another process", "choose another --out") from None
        yield


def n_asked() -> int:
    """Processes that torchrun or Accelerate's launcher was asked for."""
    return int(os.environ.get("WORLD_SIZE", 1))


def device_of(name: str) -> torch.device:
    """The device of that name; InputError when this machine has none such."""
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name}: not usable here ({str(error).splitlines()[0]}); use cpu"
        ) from error
