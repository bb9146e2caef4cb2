"""Whether splits hold what a run needs."""

from __future__ import annotations

from pathlib import Path

from mmcl.config.schema import DataConfig
from mmcl.datasets._splits import DataSplits
from mmcl.errors import InputError


def check_splits(splits: DataSplits, data: Path, options: DataConfig, learns_labels: bool = True) -> None:
    """Every split that the run needs has recordings, and where labels are learned those of two classes.

    Raises:
        InputError: One has none, or of one class alone.
    """
    needed = ["train", "test"]
    if getattr(options, "validation_subjects", ()):
        needed.append("validation")
    for split in needed:
        recordings = splits.of(split)
        if not recordings:
            raise InputError(f"{data}: holds no recordings of the {split} split")
        shown = {tuple(r.label) for r in recordings if r.label is not None}
        if len(shown) == 1 and not any(r.intervals for r in recordings) and learns_labels:
            raise InputError(f"{data}: the {split} split shows one class alone, of those that have the modalities")
