"""A user's own trimmed recordings: which class each shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets._base import Dataset
from mmcl.datasets.sources.own import DATA_HELP, ManifestConfig, feature_rate, read_own, split_own
from mmcl.datasets.sources.recipes import feature_recipe, recognition_recipe, visual_extractors
from mmcl.datasets.sources.splits import DEFAULT_FOLDS, check_classes, resamples_of_folds
from mmcl.errors import FileError

__all__ = ["Recordings"]


class Recordings(Dataset):
    """Recognition: each recording shows one class as a whole."""

    summary = "recognize what your own videos or sensor recordings show"
    data_help = DATA_HELP
    task = "recognition"
    reads_media = True
    Config = ManifestConfig
    primary_metric = "accuracy"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(recognition_recipe(), {"data": ManifestConfig()})

    def recipe_of(self, data: Path) -> RunConfig:
        """See ``Dataset.recipe_of``."""
        rate_hz, has_media = feature_rate(data)
        if rate_hz:
            return feature_recipe(self.recipe(), self.task, rate_hz)
        return override(self.recipe(), {"features.visual": visual_extractors()} if has_media else {})

    def resamples(self, options: DataConfig, seed: int) -> dict[str, dict[str, Any]]:
        """See ``Dataset.resamples``: every fold."""
        assert isinstance(options, ManifestConfig)
        return resamples_of_folds(options.folds or DEFAULT_FOLDS, seed)

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        assert isinstance(options, ManifestConfig)
        index = read_own(data, options)
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
