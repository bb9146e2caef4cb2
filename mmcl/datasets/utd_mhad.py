"""UTD-MHAD: recognition of 27 actions from a skeleton and an inertial sensor.

Source: Chen, Jafari and Kehtarnavaz, "UTD-MHAD: a multimodal dataset for human action recognition utilizing a depth
camera and a wearable inertial sensor", ICIP 2015. Layout::

    DIR/Inertial/aA_sS_tT_inertial.mat   d_iner (frame, 6): acceleration [g], angular rate [deg/s]
    DIR/Skeleton/aA_sS_tT_skeleton.mat   d_skel (joint 20, 3, frame): positions [m]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex, RecordingRow, Source
from mmcl.datasets._base import Dataset, Metrics
from mmcl.datasets.sources.recipes import recognition_recipe
from mmcl.errors import FileError, InputError
from mmcl.readers.utd_mhad_mat import INERTIAL_HZ, read_mat
from mmcl.types import Recording, SnippetGrid, SnippetScores

__all__ = ["UtdMhad"]

ACTIONS = (
    "swipe left", "swipe right", "wave", "clap", "throw", "arm cross", "basketball shoot",
    "draw x", "draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowling",
    "boxing", "baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock",
    "catch", "pick up and throw", "jog", "walk", "sit to stand", "stand to sit", "lunge", "squat",
)  # fmt: skip
SUBJECTS = tuple(range(1, 9))
NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_(inertial|skeleton)\.mat")
LAYOUT = "expected DIR/Inertial/a1_s1_t1_inertial.mat and DIR/Skeleton/a1_s1_t1_skeleton.mat"


@dataclass(frozen=True)
class UtdMhadConfig(DataConfig):
    """Which subjects train, validate and test.

    Example:
        >>> UtdMhadConfig().test_subjects
        (2, 4, 6, 8)
    """

    modalities: tuple[str, ...] = ("skeleton", "inertial")
    """Modalities to learn from; one alone trains a unimodal model."""
    train_subjects: tuple[int, ...] = (1, 3, 5, 7)
    """Subjects to train on (the cross-subject protocol)."""
    test_subjects: tuple[int, ...] = (2, 4, 6, 8)
    """Subjects to test on."""
    validation_subjects: tuple[int, ...] = (7,)
    """Training subjects held out to select the epoch. Without a value, --data.validation-subjects, it trains on all of
    them and keeps the last epoch, as final metrics do."""


@dataclass(frozen=True)
class UtdMhadRecognitionConfig(UtdMhadConfig):
    """Which subjects or recordings train, validate and test.

    Example:
        >>> UtdMhadRecognitionConfig().protocol
        'subjects'
    """

    protocol: Literal["subjects", "random"] = "subjects"
    """Split by subjects; or a random fifth of each action's recordings tests, drawn by the seed, without validation.
    The latter leaks: every person is in both splits. It is there to stand beside papers that report it, and
    metrics.json says so."""


class UtdMhad(Dataset):
    """Recognition of trimmed recordings: each is a bag of one class.

    Example:
        >>> UtdMhad().recipe().data.test_subjects
        (2, 4, 6, 8)
    """

    summary = "recognize 27 actions in trimmed recordings"
    data_help = "Folder with Inertial/ and Skeleton/, the data set's .mat files."
    task = "recognition"
    Config = UtdMhadRecognitionConfig
    primary_metric = "accuracy"
    leaks = False

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(recognition_recipe(), {"data": UtdMhadRecognitionConfig()})

    def check(self, options: DataConfig) -> None:
        """See ``Dataset.check``."""
        split_of_subject(options)

    def implied_settings(self, options: DataConfig) -> dict[str, Any]:
        """See ``Dataset.implied_settings``."""
        assert isinstance(options, UtdMhadRecognitionConfig)
        return {"data.validation_subjects": ()} if options.protocol == "random" else {}

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        assert isinstance(options, UtdMhadRecognitionConfig)
        split = split_of_subject(options)
        pairs = find_pairs(data)
        tested = draw_fifth(pairs, seed) if options.protocol == "random" else frozenset()
        self.leaks = bool(tested)

        def split_of(key: tuple[int, int, int]) -> str:
            return split.get(key[1], "") if not tested else "test" if key in tested else "train"

        rows = [row_of(*key, files, split_of(key)) for key, files in pairs.items()]
        return RecordingIndex(tuple(rows), ACTIONS, data)

    def evaluate(self, recordings: Sequence[Recording], scores: Sequence[SnippetScores], grid: SnippetGrid) -> Metrics:
        """See ``Dataset.evaluate``; a split that leaks is told."""
        metrics = super().evaluate(recordings, scores, grid)
        return metrics | {"share of subjects that were trained on": 1.0} if self.leaks else metrics


def draw_fifth(keys: Iterable[tuple[int, int, int]], seed: int) -> frozenset[tuple[int, int, int]]:
    """A random fifth of each action's recordings.

    Args:
        keys: (action, subject, trial) of each.
        seed: Of the draw.

    Example:
        >>> len(draw_fifth([(1, s, t) for s in range(1, 6) for t in (1, 2)], 0))
        2
    """
    rng = np.random.default_rng(seed)
    by_action: dict[int, list[tuple[int, int, int]]] = {}
    for key in sorted(keys):
        by_action.setdefault(key[0], []).append(key)
    return frozenset(
        members[i] for members in by_action.values() for i in rng.permutation(len(members))[: round(len(members) / 5)]
    )


def row_of(action: int, subject: int, trial: int, files: Mapping[str, Path], split: str) -> RecordingRow:
    """One recording. The nominal rates do not align the two modalities (the camera dropped frames), so both are taken
    to last as long as the inertial one does at its 50 Hz."""
    sources = {m: Source(m, (files[m],), partial(_read, files[m], m)) for m in ("skeleton", "inertial")}
    name = f"a{action}_s{subject}_t{trial}"
    return RecordingRow(name, split, (ACTIONS[action - 1],), str(subject), (), sources, "inertial", name)


def _read(path: Path, modality: str):
    return read_mat(path, modality), INERTIAL_HZ


def split_of_subject(config: DataConfig) -> dict[int, str]:
    """The split of each subject; a test subject is never trained or validated on.

    Raises:
        InputError: A subject is unknown or of two splits.

    Example:
        >>> split_of_subject(UtdMhadConfig())[7]
        'validation'
    """
    assert isinstance(config, UtdMhadConfig)
    for option, subjects in (("train", config.train_subjects), ("test", config.test_subjects)):
        if not subjects or (unknown := [s for s in subjects if s not in SUBJECTS]):
            got = unknown[0] if subjects else "none"
            raise InputError(f"--data.{option}-subjects: expected some of 1 to 8, got {got}")
    if both := [s for s in config.train_subjects if s in config.test_subjects]:
        raise InputError(f"--data.test-subjects {both[0]}: is a training subject too; use --data.train-subjects")
    wrong = [s for s in config.validation_subjects if s not in config.train_subjects]
    if wrong:
        raise InputError(
            f"--data.validation-subjects: expected some of {config.train_subjects} (the test subjects are never "
            f"used to choose), got {wrong[0]}"
        )
    split = {s: "validation" if s in config.validation_subjects else "train" for s in config.train_subjects}
    if "train" not in split.values():
        raise InputError("--data.validation-subjects: no subject is left to train on")
    return split | dict.fromkeys(config.test_subjects, "test")


def find_pairs(folder: Path) -> dict[tuple[int, int, int], dict[str, Path]]:
    """The two files of each recording by (action, subject, trial), sorted; paired by these, never by order.

    Args:
        folder: With Inertial/ and Skeleton/.

    Raises:
        FileError: A folder is missing, a name is odd, or a file lacks its other half.
    """
    files_of: dict[str, dict[tuple[int, int, int], Path]] = {"inertial": {}, "skeleton": {}}
    for modality, files in files_of.items():
        place = Path(folder) / modality.capitalize()
        if not place.is_dir():
            raise FileError(place, "no such folder", LAYOUT)
        for path in sorted(place.glob("*.mat")):
            match = NAME.fullmatch(path.name)
            if match is None or match[4] != modality:
                raise FileError(
                    path, "not a UTD-MHAD file name", f"expected aA_sS_tT_{modality}.mat; rename or remove it"
                )
            action, subject, trial = map(int, match.groups()[:3])
            if not 1 <= action <= len(ACTIONS):
                raise FileError(path, f"unknown action {action}", "actions are numbered 1 to 27")
            if subject not in SUBJECTS:
                raise FileError(path, f"unknown subject {subject}", "subjects are numbered 1 to 8")
            key = (action, subject, trial)
            if key in files:
                raise FileError(path, f"the same recording as {files[key].name}", "keep one of the two")
            files[key] = path
        if not files:
            raise FileError(place, "holds no .mat files", LAYOUT)
    for here, other in (("inertial", "skeleton"), ("skeleton", "inertial")):
        for key in sorted(files_of[here].keys() - files_of[other].keys()):
            raise FileError(
                files_of[here][key],
                f"its {other} half is missing",
                "add a{}_s{}_t{}_{}.mat or remove this file".format(*key, other),
            )
    return {key: {m: files_of[m][key] for m in files_of} for key in sorted(files_of["inertial"])}
