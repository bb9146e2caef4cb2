"""The splits of a data set, read for a run's network: refused where it would take one thing for another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mmcl.config.schema import LabelsConfig
from mmcl.datasets import DataSplits, load_splits
from mmcl.errors import InputError
from mmcl.io import print_once
from mmcl.runs.run_dir import RunInfo, data_of


def load_run_splits(
    run: Path,
    info: RunInfo,
    data: Path | None,
    splits: Sequence[str],
    *,
    labels: LabelsConfig | None = None,
    needs_classes: bool = False,
    device: torch.device | str = "cpu",
) -> DataSplits:
    """Read splits as a run's settings say.

    Args:
        run: Folder of the run.
        info: Of the run.
        data: The data set; where the run was trained on it by default.
        splits: Which of "train", "validation", "test".
        labels: Which training recordings are labelled, the run's by default.
        needs_classes: The network's scores are held against the labels, so that both must be of the same classes.
        device: Where features are made.

    Raises:
        InputError: The data are not readable, or not what the run's network takes.
    """
    config, place = info.config, data or data_of(run)
    of_labels = config.labels if labels is None else labels
    read = load_splits(
        info.dataset, place, config.data, of_labels, config.seed, splits, features=config.features, device=device
    )
    check_fits(run, info, read, place)
    if has_changed(info, read, place):
        print_once(
            f"warning: {place} holds other recordings, splits, labels or groups than when {run} was trained on it; "
            "what is evaluated may have been trained on"
        )
    if needs_classes and read.classes != info.classes:
        theirs, ours = (", ".join(c[:12]) + " ..." * (len(c) > 12) for c in (read.classes, info.classes))
        raise InputError(f"{run}: was trained on the classes {ours}; {place} has {theirs}")
    return read


def has_changed(info: RunInfo, splits: DataSplits, data: Path) -> bool:
    """Does the place that a run was trained on hold other recordings now?

    Args:
        info: Of the run.
        splits: As they are now.
        data: Where they are from.
    """
    before = info.recordings_sha256
    return bool(before) and data.resolve() == info.data and before != splits.recordings_sha256


def check_fits(run: Path, info: RunInfo, splits: DataSplits, data: Path) -> None:
    """The extractors, shapes and channels of the splits are those that the run's network was trained on.

    Channels of other names may be the same ones, which is told; the same names in another order are not.

    Args:
        run: Folder of the run.
        info: Of the run.
        splits: That it is to read.
        data: Where they are from.

    Raises:
        InputError: They are others.
    """
    for m, card in splits.extractors.items():
        difference = m in info.extractors and info.extractors[m].differs_from(card)
        if difference:
            raise InputError(f"{run}: was trained on {m} features of another extractor ({difference} of {data})")
    for m, theirs in splits.inputs.items():
        ours = info.inputs.get(m, theirs)
        if theirs.shape != ours.shape:
            raise InputError(f"{run}: was trained on {ours.shape} of {m} a frame; {data} holds {theirs.shape}")
        if theirs.channels == ours.channels or not ours.channels or not theirs.channels:
            continue
        known, names = ", ".join(ours.channels), ", ".join(theirs.channels)
        if sorted(theirs.channels) == sorted(ours.channels):
            raise InputError(f"{run}: was trained on the {m} channels {known}, in this order; {data} has {names}")
        print_once(f"{data}: its {m} channels {names} are taken for {known}")
