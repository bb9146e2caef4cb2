"""The splits of a data set, read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mmcl.config.schema import DataConfig, FeaturesConfig, LabelsConfig
from mmcl.data.few_labels import apply_labels
from mmcl.data.media import extract_media, hold_streams
from mmcl.data.recording_index import SPLITS, RecordingIndex
from mmcl.datasets._base import Dataset
from mmcl.errors import FileError, InputError
from mmcl.features.cards import ExtractorCard
from mmcl.types import InputSpec, Recording


@dataclass(frozen=True)
class DataSplits:
    """The recordings of a data set by split.

    Attributes:
        dataset: The data set.
        classes: Names of the classes.
        train: The training split as the settings label it.
        validation: Selects the epoch; may be empty.
        test: Is never used for a choice.
        inputs: What a model takes of each modality.
        extractors: What made the features, where it is known.
        repeats: Times that an epoch goes through the training split.
        features: How features of media files are made.
        recordings_sha256: ``RecordingIndex.sha256`` of the data set, all splits of it.

    Example:
        >>> from mmcl.datasets import get_dataset
        >>> DataSplits(get_dataset("events"), ("fall",), [], [], [], {}).of("test")
        []
    """

    dataset: Dataset
    classes: tuple[str, ...]
    train: Sequence[Recording]
    validation: Sequence[Recording]
    test: Sequence[Recording]
    inputs: Mapping[str, InputSpec]
    extractors: Mapping[str, ExtractorCard] = field(default_factory=dict)
    repeats: int = 1
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    recordings_sha256: str = ""

    def of(self, split: str) -> Sequence[Recording]:
        """The recordings of "train", "validation" or "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


def load_splits(
    dataset: Dataset,
    data: Path,
    options: DataConfig,
    labels: LabelsConfig | None = None,
    seed: int = 0,
    splits: Sequence[str] = SPLITS,
    *,
    features: FeaturesConfig | None = None,
    device: torch.device | str = "cpu",
) -> DataSplits:
    """Read the splits of a data set.

    Args:
        dataset: The data set.
        data: What the user gave as ``--data``.
        options: The data set's own options; modalities are named.
        labels: Which training recordings are labelled, all by default.
        seed: The run's.
        splits: Which; of the others no file is opened, and they are empty.
        features: How features of media files are made.
        device: Where they are made.

    Raises:
        FileError: A file is not as expected, or has other channels than those of its modality, in whichever split.

    Example:
        >>> from mmcl.datasets import get_dataset
        >>> dataset = get_dataset("utd-mhad")
        >>> config = dataset.default_config()
        >>> load_splits(dataset, Path("nowhere"), config.data)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mmcl.errors.FileError: nowhere/Inertial: no such folder; ...
    """
    index = dataset.index(data, options, seed)
    sha256 = index.sha256
    index = hold_streams(index)
    modalities = options.modalities or tuple(index.kinds)
    if unknown := [m for m in modalities if m not in index.kinds]:
        raise InputError(
            f"--data.modalities {unknown[0]}: no recording of {data} has it; they have {', '.join(index.kinds)}"
        )
    if index.has_media and (labels is None or labels.labelled == 0) and set(splits) == set(SPLITS):
        check_rows(index, modalities, dataset.task)
    index = extract_media(index, features or FeaturesConfig(), modalities, splits, device)
    read: dict[str, Sequence[Recording]] = {s: index.load(s, modalities) if s in splits else [] for s in SPLITS}
    if dataset.groups_are_crops:
        check_crops(index, [r for s in SPLITS for r in read[s]])
    inputs = index.inputs(*read.values())
    for m, spec in inputs.items():
        if names := spec.channels:
            print(f"{m}: {len(names)} channels, {', '.join(names[:12])}{' ...' * (len(names) > 12)}", flush=True)
    repeats = 1
    if dataset.task == "recognition":
        read["train"], repeats = apply_labels(read["train"], labels or LabelsConfig())
    return DataSplits(
        dataset,
        index.classes,
        read["train"],
        read["validation"],
        read["test"],
        {m: inputs[m] for m in modalities if m in inputs},
        {m: card for m, card in index.extractors.items() if m in modalities},
        repeats,
        features or FeaturesConfig(),
        sha256,
    )


def check_rows(index: RecordingIndex, modalities: Sequence[str], task: str) -> None:
    """Before features are made: the recordings that have one of the modalities can be learned from and evaluated.

    Args:
        index: With the streams that files hold.
        modalities: That are used.
        task: "detection" or "recognition".

    Raises:
        InputError: No training recording has a modality, or a split shows one kind of recordings alone.
    """
    train = {m for row in index.of("train") for m in (*row.sources, *row.media)}
    if train and (lacking := [m for m in modalities if m not in train]):
        raise InputError(f"--data.modalities {lacking[0]}: no training recording of {index.path} has it; leave it out")
    for split in SPLITS:
        rows = [row for row in index.of(split) if any(m in row.sources or m in row.media for m in modalities)]
        is_timed = split != "train" and any(row.events or row.segments for row in rows)
        if index.of(split) and not rows:
            raise InputError(f"{index.path}: no recording of the {split} split has {' or '.join(modalities)}")
        kinds = {bool(row.labels) if task == "detection" else row.labels for row in rows}
        if is_timed or len(kinds) != 1:
            continue
        if task == "recognition":
            raise InputError(
                f"{index.path}: the {split} split shows one class alone, of those that have the modalities"
            )
        other = "without" if kinds.pop() else "with"
        raise InputError(f"{index.path}: the {split} split holds no recording {other} events; it needs both kinds")


def check_crops(index: RecordingIndex, recordings: Iterable[Recording]) -> None:
    """The crops of a video are equally long.

    Args:
        index: Of the data set.
        recordings: Read from it; a group is a video.

    Raises:
        FileError: Naming a file of other length.
    """
    first: dict[str, Recording] = {}
    files = {row.name: row.sources for row in index.rows}
    for recording in recordings:
        other = first.setdefault(recording.group, recording)
        for m, x in recording.signal.items():
            if m in other.signal and len(x) != len(other.signal[m]):
                raise FileError(
                    files[recording.name][m].files[0],
                    f"has {len(x)} rows, {files[other.name][m].files[0].name} {len(other.signal[m])}",
                    "crops of one video must be equally long; extract it again",
                )
