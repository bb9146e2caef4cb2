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
        FileError: A file is not as expected.

    Example:
        >>> from mmcl.datasets import get_dataset
        >>> dataset = get_dataset("utd-mhad")
        >>> config = dataset.default_config()
        >>> load_splits(dataset, Path("nowhere"), config.data)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mmcl.errors.FileError: nowhere/Inertial: no such folder; ...
    """
    index = hold_streams(dataset.index(data, options, seed))
    modalities = options.modalities or tuple(index.kinds)
    if unknown := [m for m in modalities if m not in index.kinds]:
        raise InputError(
            f"--data.modalities {unknown[0]}: no recording of {data} has it; they have {', '.join(index.kinds)}"
        )
    index = extract_media(index, features or FeaturesConfig(), modalities, splits, device)
    read: dict[str, Sequence[Recording]] = {s: index.load(s, modalities) if s in splits else [] for s in SPLITS}
    if dataset.groups_are_crops:
        check_crops(index, [r for s in SPLITS for r in read[s]])
    inputs = index.inputs(r for s in SPLITS for r in read[s])
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
    )


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
