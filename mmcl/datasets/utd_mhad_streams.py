"""Untrimmed streams made of UTD-MHAD's recordings: weak labels with a known truth.

Recordings of one subject follow each other in seeded random order. A stream's label says only whether it holds one of
the target actions; the true intervals are used by evaluation alone. The streams are a function of the recordings, the
seed and the settings, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.config.files import override
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex, RecordingRow, Source
from mmcl.datasets._base import Dataset
from mmcl.datasets.sources.recipes import detection_recipe
from mmcl.datasets.utd_mhad import ACTIONS, UtdMhadConfig, find_pairs, row_of, split_of_subject
from mmcl.errors import InputError
from mmcl.readers.resample import resample
from mmcl.readers.utd_mhad_mat import INERTIAL_HZ, read_mat
from mmcl.types import Interval

__all__ = ["UtdMhadStreams"]

EVENT = "target action"
RATE_HZ = {"skeleton": 25.0, "inertial": 50.0}  # of a stream


@dataclass(frozen=True)
class UtdMhadStreamsConfig(UtdMhadConfig):
    """How streams are made.

    Example:
        >>> UtdMhadStreamsConfig().targets
        (13, 5, 18, 19)
    """

    n_train_streams: int = 400
    """Streams to train on."""
    n_test_streams: int = 200
    """Streams of the test subjects, and as many of the validation subjects."""
    targets: tuple[int, ...] = (13, 5, 18, 19)
    """Actions that make a stream positive: boxing, throw, push, knock."""
    actions_per_stream: tuple[int, int] = (12, 20)
    """Fewest and most recordings in a stream."""
    targets_per_stream: tuple[int, int] = (1, 3)
    """Fewest and most target recordings in a positive stream."""
    stream_seed: int = 0
    """Seed of the streams; those of the test do not depend on the run's seed."""


class UtdMhadStreams(Dataset):
    """Detection of target actions in untrimmed streams, from one label a stream.

    Example:
        >>> UtdMhadStreams().recipe().data.targets
        (13, 5, 18, 19)
    """

    summary = "detect actions in untrimmed streams from one label a stream"
    data_help = "Folder with Inertial/ and Skeleton/, UTD-MHAD's .mat files."
    task = "detection"
    Config = UtdMhadStreamsConfig
    primary_metric = "snippet average precision"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(detection_recipe(), {"data": UtdMhadStreamsConfig()})

    def check(self, options: DataConfig) -> None:
        """See ``Dataset.check``."""
        d = options
        assert isinstance(d, UtdMhadStreamsConfig)
        split_of_subject(d)
        wrong = [a for a in d.targets if not 1 <= a <= len(ACTIONS)]
        if wrong or not d.targets:
            raise InputError(
                f"--data.targets: expected actions from 1 to {len(ACTIONS)}, got {wrong[0] if wrong else 'none'}"
            )
        for option, value in (("n-train-streams", d.n_train_streams), ("n-test-streams", d.n_test_streams)):
            if value < 2:
                raise InputError(f"--data.{option}: expected at least 2, got {value}")
        if not 0 <= d.stream_seed <= 2**31:
            raise InputError(f"--data.stream-seed: expected 0 to {2**31}, got {d.stream_seed}")
        fewest, most = d.targets_per_stream
        if not 1 <= fewest <= most <= d.actions_per_stream[0] <= d.actions_per_stream[1]:
            raise InputError(
                f"--data.targets-per-stream {fewest} {most}, --data.actions-per-stream "
                f"{d.actions_per_stream[0]} {d.actions_per_stream[1]}: expected fewest <= most, and no more "
                "targets than the fewest actions"
            )

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        d = options
        assert isinstance(d, UtdMhadStreamsConfig)
        split = split_of_subject(d)
        actions = [Action(key, files) for key, files in find_pairs(data).items()]
        rows: list[RecordingRow] = []
        for number, (name, n) in enumerate(
            (("train", d.n_train_streams), ("validation", d.n_test_streams), ("test", d.n_test_streams))
        ):
            chosen = [a for a in actions if split.get(a.subject) == name]
            if chosen:
                rows += compose_streams(chosen, n, d, 3 * d.stream_seed + number, name)
        return RecordingIndex(tuple(rows), (EVENT,), data)


class Action:
    """One trimmed recording, read when it is needed and then kept: it is part of many streams.

    Args:
        key: (action, subject, trial).
        files: Its file of each modality.
    """

    def __init__(self, key: tuple[int, int, int], files: Mapping[str, Path]):
        self.number, self.subject, self.trial = key
        self.files = files

    @cached_property
    def inertial(self) -> np.ndarray:
        """``(frame, 6)``."""
        return read_mat(self.files["inertial"], "inertial")

    @cached_property
    def skeleton(self) -> np.ndarray:
        """``(frame, 20, 3)``."""
        return read_mat(self.files["skeleton"], "skeleton")

    @property
    def duration_s(self) -> float:
        """Seconds by the inertial sensor, to the last bit as ``Recording.duration_s`` of the two aligned signals has
        them: lengths of streams are rounded at exact halves."""
        seconds = len(self.inertial) / INERTIAL_HZ
        return min(len(x) / (len(x) / seconds) for x in (self.skeleton, self.inertial))

    def row(self) -> RecordingRow:
        """The recording by itself."""
        return row_of(self.number, self.subject, self.trial, self.files, "")


def compose_streams(
    actions: Sequence[Action], n_streams: int, config: UtdMhadStreamsConfig, seed: int, split: str = ""
) -> list[RecordingRow]:
    """Streams, the even ones without and the odd ones with target actions.

    Each stream is of one subject (its ``group``); within a stream no recording occurs twice unless the subject has too
    few.

    Args:
        actions: The recordings.
        n_streams: How many streams.
        config: Targets, and how many recordings a stream has.
        seed: The streams are a function of it.
        split: Of the rows.

    Raises:
        InputError: A subject lacks target or other recordings.
    """
    by_subject: dict[str, tuple[list[Action], list[Action]]] = {}
    for action in actions:
        pools = by_subject.setdefault(str(action.subject), ([], []))
        pools[action.number in config.targets].append(action)
    for subject, (others, targets) in by_subject.items():
        if not others or not targets:
            raise InputError(
                f"streams: subject {subject} has {len(targets)} target and {len(others)} other recordings; both are "
                "needed"
            )
    rng = np.random.default_rng([seed, 0x57EA])
    subjects = sorted(by_subject)
    (fewest, most), (least, largest) = config.actions_per_stream, config.targets_per_stream
    rows = []
    for i in range(n_streams):
        subject = subjects[int(rng.integers(len(subjects)))]
        others, targets = by_subject[subject]
        total = int(rng.integers(fewest, most + 1))
        n_targets = int(rng.integers(least, largest + 1)) if i % 2 else 0
        drawn = _draw(rng, targets, n_targets) + _draw(rng, others, total - n_targets)
        order = rng.permutation(len(drawn))
        name = f"stream-{i:04d}-s{subject}"
        rows.append(_row([drawn[k] for k in order], name, split, subject, config.targets))
    return rows


def _draw(rng: np.random.Generator, pool: Sequence[Action], n: int) -> list[Action]:
    return [pool[k] for k in rng.choice(len(pool), n, replace=n > len(pool))]


def _row(actions: Sequence[Action], name: str, split: str, subject: str, targets: Sequence[int]) -> RecordingRow:
    """One action after the other, with the interval of each."""
    edges = np.cumsum([0.0, *(a.duration_s for a in actions)]).tolist()
    events = tuple(
        Interval(edges[k], edges[k + 1], ACTIONS[a.number - 1], a.number in targets) for k, a in enumerate(actions)
    )
    labels = (EVENT,) if any(e.is_event for e in events) else ()
    sources = {
        m: Source(m, tuple(a.files[m] for a in actions), partial(_concatenate, actions, m, edges)) for m in RATE_HZ
    }
    return RecordingRow(name, split, labels, subject, events, sources, where=name)


def _concatenate(actions: Sequence[Action], modality: str, edges: Sequence[float]) -> tuple[Any, float]:
    """The signals of the actions at one rate; lengths are rounded on the stream's time, so that nothing drifts."""
    hz = RATE_HZ[modality]
    segments = []
    for k, action in enumerate(actions):
        x = action.inertial if modality == "inertial" else action.skeleton
        n_frames = round(edges[k + 1] * hz) - round(edges[k] * hz)
        rate_hz = len(x) / (len(action.inertial) / INERTIAL_HZ)
        segments.append(resample(x, rate_hz, hz, n_frames))
    return np.concatenate(segments), hz
