"""A data set: made-up recordings of two sensors, each of which shows one of two tones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mmcl.config import DataConfig, RunConfig, override
from mmcl.data.recording_index import RecordingIndex, RecordingRow, Source
from mmcl.datasets import Dataset
from mmcl.datasets.sources.recipes import recognition_recipe


@dataclass(frozen=True)
class TonesConfig(DataConfig):
    """How many recordings."""

    n_recordings: int = 24
    """Recordings; two thirds train, a third tests."""


class Tones(Dataset):
    """Which of two tones each recording shows."""

    summary = "recognize one of two tones"
    data_help = "Any folder; nothing is read from it."
    task = "recognition"
    Config = TonesConfig
    primary_metric = "accuracy"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(recognition_recipe(), {"data": TonesConfig(), "optim.epochs": 5})

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        assert isinstance(options, TonesConfig)
        rows = []
        for i in range(options.n_recordings):
            sources = {m: Source("inertial", (), partial(tone, i, 5.0 + 15.0 * (i % 2))) for m in ("left", "right")}
            split = "test" if i % 6 > 3 else "train"
            rows.append(RecordingRow(f"tone-{i}", split, (("low", "high")[i % 2],), f"person-{i % 4}", (), sources))
        return RecordingIndex(tuple(rows), ("low", "high"), data)


def tone(number: int, hz: float) -> tuple[np.ndarray, float]:
    """A noisy tone of three channels, 4 s at 50 Hz."""
    rng = np.random.default_rng(number)
    t = np.arange(200) / 50
    x = np.stack([np.sin(2 * np.pi * hz * t + phase) for phase in range(3)], 1)
    return (x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32), 50.0
