"""Whether splits hold what a run needs, found before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.config.schema import DataConfig
from mmcl.data.collate import require_finite
from mmcl.data.recording_index import SPLITS
from mmcl.data.stored_index import StoredRecordings
from mmcl.datasets._splits import DataSplits
from mmcl.errors import InputError


def check_splits(splits: DataSplits, data: Path, options: DataConfig, learns_labels: bool = True) -> None:
    """Every split that the run needs has recordings; where labels are learned they tell some apart; what is evaluated
    holds numbers.

    Raises:
        InputError: Naming the split, or the recording.
    """
    needed = ["train", "test"]
    if getattr(options, "validation_subjects", ()):
        needed.append("validation")
    for split in SPLITS:
        if splits.of(split):
            if learns_labels:
                _check_labels(splits, split, data)
        elif split in needed:
            raise InputError(f"{data}: holds no recordings of the {split} split")
    for split in ("validation", "test"):
        for recording in splits.of(split):
            require_finite(recording.signal, recording.name)


def _check_labels(splits: DataSplits, split: str, data: Path) -> None:
    """Two classes or more; of events, recordings with and without, or known times where a split is only evaluated."""
    recordings = splits.of(split)
    if isinstance(recordings, StoredRecordings):
        shown = set(map(tuple, np.unique(recordings.labels, axis=0).tolist()))
        has_times = bool(recordings.columns.has_events[recordings.numbers].any())
    else:
        shown = {tuple(r.label) for r in recordings if r.label is not None}
        has_times = any(r.intervals for r in recordings)
    if not shown or (split != "train" and has_times):
        return
    if splits.dataset.task == "detection":
        events = {any(label) for label in shown}
        if len(events) == 1:
            lacking = "without" if events.pop() else "with"
            raise InputError(f"{data}: the {split} split holds no recording {lacking} events; it needs both kinds")
    elif len(shown) == 1:
        raise InputError(f"{data}: the {split} split shows one class alone, of those that have the modalities")
