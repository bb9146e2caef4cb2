"""Surveillance fights: short clips with picture and, mostly, sound; does a clip show a fight.

Source: Akti, Tataroglu and Ekenel, "Vision-based fight detection from surveillance cameras", IPTA 2019. Clips of one
source video look alike, so that folds share no source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex
from mmcl.datasets._base import Dataset
from mmcl.datasets.sources.manifest import read_manifest
from mmcl.datasets.sources.recipes import detection_recipe, feature_recipe, motion_extractors
from mmcl.datasets.sources.splits import assign_folds, check_apart, resamples_of_folds
from mmcl.errors import FileError
from mmcl.media.timing import SNIPPET_S

__all__ = ["Fights"]

MANIFEST = "fights.csv"
EVENT = "fight"


@dataclass(frozen=True)
class FightsConfig(DataConfig):
    """The folds.

    Example:
        >>> FightsConfig().folds
        5
    """

    modalities: tuple[str, ...] = ("visual", "audio")
    """Modalities to learn from; one alone trains a unimodal model."""
    folds: int = 5
    """Folds that share no source video."""
    fold: int = 0
    """The fold that is tested on; the next one selects the epoch."""
    fold_seed: int = 0
    """Draws the folds."""


class Fights(Dataset):
    """Detection: fight or not, a label a clip.

    Example:
        >>> Fights().primary_metric
        'bag ROC-AUC'
    """

    summary = "detect fights in short surveillance clips, sources held out"
    data_help = "Folder with fights.csv (name, label, group, video) and the clips it names."
    task = "detection"
    reads_media = True
    Config = FightsConfig
    primary_metric = "bag ROC-AUC"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return fights_recipe(FightsConfig(), n_snippets=3)

    def resamples(self, options: DataConfig, seed: int) -> dict[str, dict[str, Any]]:
        """See ``Dataset.resamples``: every fold."""
        assert isinstance(options, FightsConfig)
        return resamples_of_folds(options.folds, seed)

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        assert isinstance(options, FightsConfig)
        index = assign_folds(read_fights(data), options.folds, options.fold, options.fold_seed)
        check_apart(index)
        return index


def fights_recipe(options: DataConfig, n_snippets: float = 0.0) -> RunConfig:
    """Detection on features of how things move.

    Args:
        options: Of the data set.
        n_snippets: Of a usual recording, 0 = many.
    """
    recipe = override(detection_recipe(), {"data": options})
    recipe = feature_recipe(recipe, "detection", 1 / SNIPPET_S, n_snippets)
    return override(recipe, {"features.visual": motion_extractors()})


def read_fights(data: Path) -> RecordingIndex:
    """All clips, no splits assigned.

    Args:
        data: The data set's folder.

    Raises:
        FileError: It is not as expected.
    """
    index = read_manifest(data / MANIFEST if data.is_dir() else data)
    if index.classes != (EVENT,) or not all(row.group for row in index.rows):
        raise FileError(index.path, "is not the clips' list", "expected label fight or nothing, and a group a line")
    return replace(index, path=data)
