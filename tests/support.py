"""What many tests need: settings of a data set, its splits, networks and predictors by settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.config import RunConfig, override
from mmcl.data.snippet_grid import create_grid
from mmcl.datasets import DataSplits, get_dataset, load_splits
from mmcl.datasets.utd_mhad import ACTIONS, UtdMhadRecognitionConfig
from mmcl.inference import Predictor
from mmcl.models.build import create_model
from mmcl.training.run import check_run
from mmcl.types import InputSpec, Recording, SnippetGrid, default_kind

SMALL: dict[str, Any] = {  # a run of streams that takes seconds
    "data.n_train_streams": 16, "data.n_test_streams": 8, "data.targets": (13, 18), "data.actions_per_stream": (4, 6),
    "data.targets_per_stream": (1, 2), "model.dim": 16, "loader.batch_size": 4, "optim.epochs": 4,
    "teacher.unimodal": "skeleton", "loss.distill.weight": 0.5, "loss.semibag.rise": 0.5, "trainer.tracker": "none",
}  # fmt: skip
SHAPES = {"skeleton": (20, 3), "inertial": (6,), "visual": (1024,), "audio": (128,)}


def recipe(name: str, changes: Mapping[str, Any] | None = None) -> RunConfig:
    """A data set's settings, some of them changed."""
    return override(get_dataset(name).default_config(), changes or {})


def inputs_of(modalities, shapes: Mapping[str, tuple[int, ...]] | None = None) -> dict[str, InputSpec]:
    """What a network takes of modalities whose names say their kinds."""
    known = {**SHAPES, **(shapes or {})}
    return {m: InputSpec(default_kind(m), known[m]) for m in modalities}


def grid_of(config: RunConfig, modalities=None) -> SnippetGrid:
    """The grid of settings with modalities whose names say their kinds."""
    return create_grid(config.snippets, {m: default_kind(m) for m in modalities or config.data.modalities})


def network_of(config: RunConfig, n_classes: int = 1, modalities=None, shapes=None):
    """The network of settings."""
    chosen = tuple(modalities or config.data.modalities)
    return create_model(config.model, grid_of(config, chosen), n_classes, inputs_of(chosen, shapes))


def predictor_of(network, config: RunConfig, classes=("event",)) -> Predictor:
    """The predictor of a network with these settings."""
    mil = config.loss.mil
    return Predictor(network, grid_of(config), tuple(classes), mil.topk_divisor, mil.multiclass)


def splits_of(config: RunConfig, data: Path, splits=("train", "validation", "test")) -> DataSplits:
    """The data of settings, read."""
    dataset = get_dataset(config.dataset)
    return load_splits(dataset, data, config.data, config.labels, config.seed, splits)


def check_settings(config: RunConfig, data: Path = Path("nowhere")) -> None:
    """Raises InputError where settings contradict each other."""
    check_run(config, get_dataset(config.dataset), data)


def read_utd_mhad(folder: Path, subjects=tuple(range(1, 9))) -> list[Recording]:
    """UTD-MHAD's recordings of these subjects, by (action, subject, trial)."""
    test = tuple(subjects)
    train = tuple(s for s in range(1, 9) if s not in test) or (1,)
    if len(test) == 8:
        test = tuple(s for s in test if s != 1)
    config = UtdMhadRecognitionConfig(train_subjects=train, test_subjects=test, validation_subjects=())
    index = get_dataset("utd-mhad").index(folder, config)
    chosen = [row for row in index.rows if int(row.group) in subjects]
    return [row.load(config.modalities, ACTIONS) for row in chosen]


def write_csv(path: Path, x, header, time=None) -> Path:
    """A CSV file with a header, and a column time_s where times are given."""
    table = x if time is None else np.column_stack([time, x])
    names = header if time is None else ["time_s", *header]
    lines = [",".join(f"{v:.6f}" for v in values) for values in table]
    path.write_text(",".join(names) + "\n" + "\n".join(lines) + "\n")
    return path
