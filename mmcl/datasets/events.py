"""A user's own long recordings, named by a manifest: when something happens in them, from a label each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets._base import Dataset
from mmcl.datasets.recordings import ManifestConfig, Recordings
from mmcl.datasets.sources.manifest import assign_splits, read_manifest
from mmcl.datasets.sources.recipes import detection_recipe
from mmcl.errors import FileError
from mmcl.types import Recording

__all__ = ["Events"]


class Events(Dataset):
    """Detection: a recording without a label holds no event."""

    summary = "detect events in your own long recordings from a label each"
    data_help = Recordings.data_help + " A column events (12.5-14;30-31.2, seconds) is evaluated where it is known."
    task = "detection"
    Config = ManifestConfig
    primary_metric = "bag average precision"
    finer_metric = "snippet average precision"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(detection_recipe(), {"data": ManifestConfig()})

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        index = read_manifest(data)
        assert isinstance(options, ManifestConfig)
        rows = tuple(replace(r, labels=tuple(v for v in r.labels if v != "0")) for r in index.rows)
        classes = tuple(c for c in index.classes if c != "0")
        if not classes or all(row.labels for row in rows):
            raise FileError(data, "needs recordings with and without events", "leave their label empty, or 0")
        index = replace(index, rows=rows, classes=classes)
        return assign_splits(index, options.test_groups, options.validation_groups)

    def selection_metric(self, validation: Sequence[Recording]) -> str:
        """See ``Dataset.selection_metric``."""
        return self.finer_metric if any(r.intervals for r in validation) else self.primary_metric
