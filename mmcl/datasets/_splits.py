"""The splits of a data set, read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmcl.config.schema import DataConfig, LabelsConfig
from mmcl.data.few_labels import apply_labels
from mmcl.data.recording_index import SPLITS
from mmcl.datasets._base import Dataset
from mmcl.errors import InputError
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
    """

    dataset: Dataset
    classes: tuple[str, ...]
    train: list[Recording]
    validation: list[Recording]
    test: list[Recording]
    inputs: Mapping[str, InputSpec]
    extractors: Mapping[str, ExtractorCard] = field(default_factory=dict)
    repeats: int = 1

    def of(self, split: str) -> list[Recording]:
        """The recordings of "train", "validation" or "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


def load_splits(
    dataset: Dataset,
    data: Path,
    options: DataConfig,
    labels: LabelsConfig | None = None,
    seed: int = 0,
    splits: Sequence[str] = SPLITS,
) -> DataSplits:
    """Read the splits of a data set.

    Args:
        dataset: The data set.
        data: What the user gave as ``--data``.
        options: The data set's own options; modalities are named.
        labels: Which training recordings are labelled, all by default.
        seed: The run's.
        splits: Which; of the others no file is opened, and they are empty.

    Raises:
        FileError: A file is not as expected.
    """
    index = dataset.index(data, options, seed)
    modalities = options.modalities or tuple(index.kinds)
    if unknown := [m for m in modalities if m not in index.kinds]:
        raise InputError(f"--data.modalities {unknown[0]}: {data} names {', '.join(index.kinds)}")
    read = {s: index.load(s, modalities) if s in splits else [] for s in SPLITS}
    inputs = index.inputs(r for s in SPLITS for r in read[s])
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
    )
