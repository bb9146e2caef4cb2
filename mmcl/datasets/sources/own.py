"""A user's own recordings: a folder of class folders, or a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets._base import Dataset
from mmcl.datasets.sources.folder import read_folder
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.datasets.sources.recipes import feature_recipe
from mmcl.datasets.sources.splits import DEFAULT_FOLDS, assign_splits, name_problems, resamples_of_folds
from mmcl.datasets.sources.stored import read_stored
from mmcl.errors import FileError
from mmcl.media.timing import SNIPPET_S

DATA_HELP = (
    "Folder of class folders with videos (fight/ normal/, below train/ test/ or not), a store of shards (mmcl store "
    "convert), or a manifest: a CSV, Parquet or "
    "JSON lines file with the columns labels, group, split (train, validation, test; folds of groups by default), "
    "video (a file or an address) and, for each other sensor, SENSOR with a file (.npy, .csv, .mat, .parquet) and "
    "SENSOR_hz with its rate; a header wrist:inertial, pose:skeleton, pose:skeleton2d or clip:features says what it is."
)


@dataclass(frozen=True)
class ManifestConfig(DataConfig):
    """Which recordings of a manifest or a folder train, validate and test.

    Example:
        >>> ManifestConfig().test_groups
        ()
    """

    modalities: tuple[str, ...] = ()
    """Modalities to learn from, all that the data have by default; of videos these are visual and audio."""
    folds: int = 0
    """Split by so many folds that share no group; 0 = as the data say, else 5 folds, or fewer of few groups."""
    fold: int = 0
    """The fold that is tested on; the next one selects the epoch."""
    fold_seed: int = 0
    """Draws the folds."""
    validation_groups: tuple[str, ...] = ()
    """Groups held out to select the epoch, where --data.test-groups is given; none: keep the last epoch."""
    test_groups: tuple[str, ...] = ()
    """Groups to test on, instead of folds."""
    group_by: str = ""
    """Of a folder: a regular expression that finds each recording's group in its name (its first bracket, if any);
    the folder between class and file by default."""


class OwnDataset(Dataset):
    """What data sets of a user's own recordings have in common."""

    data_help = DATA_HELP
    reads_media = True
    Config = ManifestConfig

    def recipe_of(self, data: Path) -> RunConfig:
        """See ``Dataset.recipe_of``."""
        rate_hz = feature_rate(data)
        return feature_recipe(self.recipe(), self.task, rate_hz) if rate_hz else self.recipe()

    def resamples(self, options: DataConfig, seed: int) -> dict[str, dict[str, Any]]:
        """See ``Dataset.resamples``: every fold."""
        assert isinstance(options, ManifestConfig)
        return resamples_of_folds(options.folds or DEFAULT_FOLDS, seed)


def read_own(data: Path, options: ManifestConfig) -> RecordingIndex:
    """The recording index of a folder or a manifest, no splits assigned.

    Args:
        data: The folder or file.
        options: Of the data set.

    Raises:
        FileError: It is not there, or not as expected.
    """
    if (stored := read_stored(data)) is not None:
        return stored
    if data.is_dir():
        return _with_names_apart(read_folder(data, options.group_by))
    if not data.exists():
        raise FileError(data, "no such file or folder", "expected a folder of class folders, or a manifest")
    if options.group_by:
        raise FileError(data, "is a manifest", "leave out --data.group-by; groups are its column group")
    return _with_names_apart(read_manifest(data))


def _with_names_apart(index: RecordingIndex) -> RecordingIndex:
    """The index, whose classes and groups differ by more than case."""
    groups = dict.fromkeys(row.group for row in index.rows if row.group)
    for what, remedy in (*name_problems(index.classes), *name_problems(groups, "groups")):
        raise FileError(index.path, what, remedy)
    return index


def says_splits(options: ManifestConfig) -> bool:
    """Was an option given that says the splits?"""
    return bool(options.folds or options.test_groups or options.validation_groups or options.group_by)


def split_own(index: RecordingIndex, options: ManifestConfig) -> RecordingIndex:
    """The index with a split in every row (``splits.assign_splits``)."""
    o = options
    return assign_splits(index, o.test_groups, o.validation_groups, o.folds, o.fold, o.fold_seed)


def feature_rate(data: Path) -> float:
    """Rows a second [Hz] where all recordings are videos, sound or features, else 0.

    Args:
        data: The folder or manifest.
    """
    index = read_own(data, ManifestConfig())
    if set(index.kinds.values()) != {"features"}:
        return 0.0
    if index.has_media:
        return 1 / SNIPPET_S
    row = next(row for row in index.rows if row.sources)
    return max(source.read()[1] for source in row.sources.values())
