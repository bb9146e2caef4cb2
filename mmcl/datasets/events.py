"""A user's own recordings: when something happens in them, from a label each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.data.stored_index import StoredIndex
from mmcl.datasets.sources.folder import normal_class, normal_classes
from mmcl.datasets.sources.own import DATA_HELP, ManifestConfig, OwnDataset, read_own, says_splits, split_own
from mmcl.datasets.sources.recipes import detection_recipe, visual_extractors
from mmcl.datasets.sources.splits import check_classes
from mmcl.datasets.sources.stored import settle_events
from mmcl.errors import FileError, InputError
from mmcl.types import Recording

__all__ = ["Events"]


@dataclass(frozen=True)
class EventsConfig(ManifestConfig):
    """Which recordings train, validate and test, and which hold no event.

    Example:
        >>> EventsConfig().normal
        ''
    """

    normal: str = ""
    """The class of recordings without events, beside those without a label; found by its name by default (normal,
    background, noFight ...)."""


class Events(OwnDataset):
    """Detection: a recording without a label, or of the normal class, holds no event.

    Example:
        >>> Events().task
        'detection'
    """

    summary = "detect events in your own videos or sensor recordings from a label each"
    data_help = DATA_HELP + " A column events (12.5-14;30-31.2, seconds) is evaluated where it is known."
    task = "detection"
    Config = EventsConfig
    primary_metric = "bag average precision"
    finer_metric = "snippet average precision"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(detection_recipe(), {"data": EventsConfig(), "features.visual": visual_extractors()})

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        assert isinstance(options, EventsConfig)
        index = read_own(data, options)
        if isinstance(index, StoredIndex):
            return settle_events(index, options.normal, says_splits(options))
        normal = {"0"}
        blank = [row for row in index.rows if not row.labels]
        if options.normal or (not blank and "0" not in index.classes):
            normal.add(normal_class(index.classes, options.normal, data))
        elif blank and (named := normal_classes(index.classes)):
            what = f"{blank[0].where.removeprefix(f'{data}: ')}: has no label, and others are labelled {named[0]}"
            raise FileError(data, what, f"write {named[0]} there too, or give --data.normal {named[0]}")
        for row in index.rows:
            if normal.intersection(row.labels) and not normal.issuperset(row.labels):
                labels = ";".join(row.labels)
                raise InputError(f"{row.where}: labels are {labels}; a recording holds events or is normal")
        rows = tuple(replace(r, labels=tuple(v for v in r.labels if v not in normal)) for r in index.rows)
        classes = tuple(c for c in index.classes if c not in normal)
        if wrong := [row for row in rows if row.events and not row.labels]:
            raise InputError(f"{wrong[0].where}: has events, and a label that says that there are none")
        if not classes or all(row.labels for row in rows):
            raise FileError(data, "needs recordings with and without events", "leave their label empty, or 0")
        index = split_own(replace(index, rows=rows, classes=classes), options)
        for split in ("validation", "test"):
            timed = [row for row in index.of(split) if row.labels]
            lacking = [row for row in timed if not row.events]
            if lacking and len(lacking) < len(timed):
                raise InputError(f"{lacking[0].where}: has no events, which others of the {split} split have")
        check_classes(index, is_localized=any(row.events for row in rows))
        return index

    def selection_metric(self, validation: Sequence[Recording]) -> str:
        """See ``Dataset.selection_metric``."""
        return self.finer_metric if any(r.intervals for r in validation) else self.primary_metric
