"""Base of all data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.media import hold_streams
from mmcl.data.recording_index import RecordingIndex
from mmcl.evaluation.detection import detection_metrics
from mmcl.evaluation.recognition import recognition_metrics
from mmcl.io import print_once
from mmcl.types import Recording, SnippetGrid, SnippetScores

Metrics = dict[str, float]

UNUSED = {  # settings that mean nothing for a task
    "recognition": ("augment.insertion", "augment.insertion_start", "loss.mil.normal"),
    "detection": ("labels", "loss.mil.multiclass", "loss.mil.label_smoothing"),
}


@dataclass(frozen=True)
class Preset:
    """Settings to choose together.

    Attributes:
        summary: What they are, for the command line.
        settings: Values by path.

    Example:
        >>> Preset("fewer epochs", {"optim.epochs": 3}).summary
        'fewer epochs'
    """

    summary: str
    settings: Mapping[str, Any]


class Dataset(ABC):
    """A data set. A subclass is one file in ``datasets``, or in another package.

    Attributes:
        summary: What is learned on it, for the command line.
        data_help: What ``--data`` is, for the command line.
        task: "recognition", which class each recording shows, or "detection", when something happens in it.
        Config: Its own options.
        reads_media: Recordings may be media files, whose features are made on the way.
        groups_are_crops: Recordings of a group are crops of one video, whose scores are averaged.
        primary_metric: Selects the epoch and heads reports.
        finer_metric: Heads reports where the test split's truth is known that finely.
        name: How it was named.

    Example:
        >>> from mmcl.datasets import get_dataset
        >>> isinstance(get_dataset("xd-violence"), Dataset)
        True
    """

    summary: ClassVar[str] = ""
    data_help: ClassVar[str] = "Folder of the data set."
    task: ClassVar[Literal["recognition", "detection"]] = "recognition"
    Config: ClassVar[type[DataConfig]] = DataConfig
    reads_media: ClassVar[bool] = False
    groups_are_crops: ClassVar[bool] = False
    primary_metric: ClassVar[str] = "accuracy"
    finer_metric: ClassVar[str] = ""
    name: str = ""

    @abstractmethod
    def recipe(self) -> RunConfig:
        """The settings that it is trained with; ``default_config`` adds its name."""

    def recipe_of(self, data: Path) -> RunConfig:
        """The recipe, where it depends on what the data hold.

        Args:
            data: What the user gave as ``--data``.
        """
        return self.recipe()

    def default_config(self, data: Path | None = None) -> RunConfig:
        """Every setting of a run on it, as its recipe has them.

        Args:
            data: What the user gave as ``--data``, where it is known.
        """
        return replace(self.recipe() if data is None else self.recipe_of(data), dataset=self.name)

    @abstractmethod
    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """Its recordings; no signal is read.

        Args:
            data: What the user gave as ``--data``.
            options: Its own options.
            seed: The run's.

        Raises:
            FileError: The data are not as expected.
        """

    def presets(self) -> Mapping[str, Preset]:
        """Sets of settings by name, to choose together (``--preset``)."""
        return {}

    def implied_settings(self, options: DataConfig) -> dict[str, Any]:
        """Settings elsewhere that its own options leave no choice about.

        Args:
            options: Its own options.
        """
        return {}

    def modalities(self, data: Path, options: DataConfig) -> tuple[str, ...]:
        """The modalities that the options name, or all that the data have; of media those that training files hold.

        Raises:
            InputError: A media file is unreadable.
        """
        if options.modalities:
            return options.modalities
        index = hold_streams(self.index(data, options))
        kinds = tuple(index.kinds)
        if not index.has_media or not index.of("train"):
            return kinds
        held = {m for row in index.of("train") for m in (*row.sources, *row.media)}
        for m in kinds:
            if m not in held:
                print_once(f"{data}: no training recording has {m}, so that it is left out")
        return tuple(m for m in kinds if m in held)

    def check(self, options: DataConfig) -> None:  # noqa: B027  a hook that may stay empty
        """Its own options are in range and do not contradict each other.

        Raises:
            InputError: Naming the option.
        """

    def resamples(self, options: DataConfig, seed: int) -> dict[str, dict[str, Any]]:
        """Settings of the runs of a cross-validation, by name; one run on the fixed split by default.

        Args:
            options: Its own options.
            seed: Draws folds or splits.
        """
        return {"split": {}}

    def unused_settings(self) -> tuple[str, ...]:
        """Paths of settings and sections that mean nothing for it; they are no options of its commands."""
        return UNUSED[self.task] if self.reads_media else (*UNUSED[self.task], "features")

    def annotation_files(self, data: Path) -> tuple[Path, ...]:
        """Files beside the recordings that evaluation reads; they go into a store with the recordings.

        Args:
            data: What the user gave as ``--data``.
        """
        return ()

    def evaluate(self, recordings: Sequence[Recording], scores: Sequence[SnippetScores], grid: SnippetGrid) -> Metrics:
        """Metrics by name.

        Args:
            recordings: Of a split, with labels and true intervals.
            scores: Of each recording.
            grid: How they were cut into snippets.
        """
        if self.task == "recognition":
            return recognition_metrics(recordings, scores)
        return detection_metrics(recordings, scores, grid)

    def selection_metric(self, validation: Sequence[Recording]) -> str:
        """The metric that selects the epoch on this validation split."""
        return self.primary_metric

    def headline_metric(self, metrics: dict[str, float]) -> str:
        """The metric that heads a report of these test metrics."""
        return self.finer_metric if f"test {self.finer_metric}" in metrics else self.primary_metric
