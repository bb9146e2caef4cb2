"""A user's own trimmed recordings: which class each shows."""

from __future__ import annotations

from pathlib import Path

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.data.stored_index import StoredIndex
from mmcl.datasets.sources.own import ManifestConfig, OwnDataset, read_own, says_splits, split_own
from mmcl.datasets.sources.recipes import recognition_recipe, visual_extractors
from mmcl.datasets.sources.splits import check_classes
from mmcl.datasets.sources.stored import settle_classes
from mmcl.errors import FileError

__all__ = ["Recordings"]


class Recordings(OwnDataset):
    """Recognition: each recording shows one class as a whole.

    Example:
        >>> Recordings().task
        'recognition'
    """

    summary = "recognize what your own videos or sensor recordings show"
    task = "recognition"
    primary_metric = "accuracy"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(recognition_recipe(), {"data": ManifestConfig(), "features.visual": visual_extractors()})

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        assert isinstance(options, ManifestConfig)
        index = read_own(data, options)
        if isinstance(index, StoredIndex):
            return settle_classes(index, says_splits(options))
        wrong = [row for row in index.rows if len(row.labels) != 1]
        if wrong:
            raise FileError(
                data,
                f"{wrong[0].where.removeprefix(f'{data}: ')}: has {len(wrong[0].labels)} labels",
                "expected one class",
            )
        if len(index.classes) < 2:
            raise FileError(data, f"has one class alone, {index.classes[0]}", "expected two or more")
        index = split_own(index, options)
        check_classes(index)
        return index
