"""A user's own trimmed recordings, named by a manifest: which class each shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets._base import Dataset
from mmcl.datasets.sources.manifest import assign_splits, read_manifest
from mmcl.datasets.sources.recipes import recognition_recipe
from mmcl.errors import FileError

__all__ = ["Recordings"]


@dataclass(frozen=True)
class ManifestConfig(DataConfig):
    """Which recordings of a manifest train, validate and test.

    Example:
        >>> ManifestConfig().test_groups
        ()
    """

    modalities: tuple[str, ...] = ()
    """Modalities to learn from, all of the manifest's by default."""
    validation_groups: tuple[str, ...] = ()
    """Groups held out to select the epoch, where the manifest has no column split; none: keep the last epoch."""
    test_groups: tuple[str, ...] = ()
    """Groups to test on, where the manifest has no column split."""


class Recordings(Dataset):
    """Recognition: each recording shows one class as a whole."""

    summary = "recognize what your own recordings show, named by a manifest"
    data_help = (
        "Manifest of your recordings, a CSV, Parquet or JSON lines file with the columns labels, group, split (train, "
        "validation, test; or give --data.test-groups) and, for each sensor, SENSOR with a file (.npy, .csv, .mat, "
        ".parquet) and SENSOR_hz with its rate; a header wrist:inertial, pose:skeleton, pose:skeleton2d or "
        "clip:features says what it is."
    )
    task = "recognition"
    Config = ManifestConfig
    primary_metric = "accuracy"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(recognition_recipe(), {"data": ManifestConfig()})

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        index = read_manifest(data)
        assert isinstance(options, ManifestConfig)
        wrong = [row for row in index.rows if len(row.labels) != 1]
        if wrong:
            raise FileError(
                data,
                f"{wrong[0].where.removeprefix(f'{data}: ')}: has {len(wrong[0].labels)} labels",
                "expected one class",
            )
        if len(index.classes) < 2:
            raise FileError(data, f"has one class alone, {index.classes[0]}", "expected two or more")
        return assign_splits(index, options.test_groups, options.validation_groups)
