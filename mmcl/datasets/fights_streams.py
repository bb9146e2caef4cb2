"""Untrimmed recordings made of surveillance clips: weak labels with a known truth.

Clips of the fights data set follow each other in seeded random order. A stream's label says only whether it holds a
fight; where, evaluation alone reads. No source video is in two splits. The streams are a function of the clips, the
seeds and the settings, and of nothing else. A clip without sound gets that of a normal clip of its split (cut or
repeated to its length), so that silence does not tell what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.media import hold_streams
from mmcl.data.recording_index import RecordingIndex, RecordingRow
from mmcl.datasets._base import Dataset
from mmcl.datasets.fights import EVENT, Fights, fights_recipe, read_fights
from mmcl.datasets.sources.splits import check_apart
from mmcl.errors import InputError

__all__ = ["FightsStreams"]

LEAST = 3  # clips of each kind that a split needs


@dataclass(frozen=True)
class FightsStreamsConfig(DataConfig):
    """How streams are made.

    Example:
        >>> FightsStreamsConfig().n_train_streams
        240
    """

    modalities: tuple[str, ...] = ("visual", "audio")
    """Modalities to learn from; one alone trains a unimodal model."""
    n_train_streams: int = 240
    """Streams to train on."""
    n_validation_streams: int = 100
    """Streams that select the epoch."""
    n_test_streams: int = 100
    """Streams to test on."""
    clips_per_stream: tuple[int, int] = (8, 16)
    """Fewest and most clips in a stream."""
    fights_per_stream: tuple[int, int] = (1, 2)
    """Fewest and most fights in a positive stream."""
    test_share: float = 0.25
    """Share of the sources whose clips make the test streams."""
    validation_share: float = 0.2
    """Share of the sources whose clips make the validation streams; 0: keep the last epoch."""
    split_seed: int = 0
    """Draws the sources of the splits, and the streams."""


class FightsStreams(Dataset):
    """Detection of fights in untrimmed streams, from one label a stream.

    Example:
        >>> FightsStreams().task
        'detection'
    """

    summary = "detect fights in untrimmed streams of surveillance clips, from one label a stream"
    data_help = Fights.data_help
    task = "detection"
    reads_media = True
    Config = FightsStreamsConfig
    primary_metric = "snippet average precision"

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return fights_recipe(FightsStreamsConfig())

    def check(self, options: DataConfig) -> None:
        """See ``Dataset.check``."""
        d = options
        assert isinstance(d, FightsStreamsConfig)
        fewest, most = d.fights_per_stream
        if not 1 <= fewest <= most <= d.clips_per_stream[0] <= d.clips_per_stream[1]:
            raise InputError(
                f"--data.fights-per-stream {fewest} {most}, --data.clips-per-stream {d.clips_per_stream[0]} "
                f"{d.clips_per_stream[1]}: expected fewest <= most, and no more fights than the fewest clips"
            )
        for option, value in (("n-train-streams", d.n_train_streams), ("n-test-streams", d.n_test_streams)):
            if value < 2:
                raise InputError(f"--data.{option}: expected at least 2, got {value}")
        if not (0 < d.test_share < 1 and 0 <= d.validation_share < 1 - d.test_share):
            raise InputError(
                f"--data.test-share {d.test_share} --data.validation-share {d.validation_share}: expected shares that "
                "leave sources to train on"
            )

    def resamples(self, options: DataConfig, seed: int) -> dict[str, dict[str, Any]]:
        """See ``Dataset.resamples``: another draw of sources and streams."""
        return {"split": {"data.split_seed": seed}}

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        d = options
        assert isinstance(d, FightsStreamsConfig)
        clips = hold_streams(read_fights(data))
        check_apart(clips)
        if silent := [row for row in clips.rows if "visual" not in row.media]:
            raise InputError(f"{silent[0].where}: has no picture; remove the line")
        split = split_sources(clips.rows, d)
        rows: list[RecordingRow] = []
        for number, (name, n) in enumerate(
            (("train", d.n_train_streams), ("validation", d.n_validation_streams), ("test", d.n_test_streams))
        ):
            chosen = [row for row in clips.rows if split[row.group] == name]
            if chosen:
                rows += compose_streams(chosen, n, d, number, name)
        return RecordingIndex(tuple(rows), (EVENT,), data)


def split_sources(clips: Sequence[RecordingRow], config: FightsStreamsConfig) -> dict[str, str]:
    """The split of each source: of random draws the first in which every split has some clips of each kind.

    Args:
        clips: All of them.
        config: Shares and seed.

    Raises:
        InputError: No draw has.
    """
    sources = sorted({row.group for row in clips})
    rng = np.random.default_rng([config.split_seed, 0xF16])
    n_test, n_validation = (round(s * len(sources)) for s in (config.test_share, config.validation_share))
    for _ in range(1000):
        order = [sources[k] for k in rng.permutation(len(sources))]
        split = dict.fromkeys(order, "train") | dict.fromkeys(order[: n_test + n_validation], "validation")
        split |= dict.fromkeys(order[:n_test], "test")
        needed = {"train", "test", *(["validation"] if n_validation else [])}
        counts = {(s, bool(row.labels)): 0 for s in needed for row in clips}
        for row in clips:
            counts[split[row.group], bool(row.labels)] += 1
        if len(counts) == 2 * len(needed) and min(counts.values()) >= LEAST:
            return split
    raise InputError(f"streams: no draw of sources has {LEAST} fights and {LEAST} normal clips in every split")


def compose_streams(
    clips: Sequence[RecordingRow], n_streams: int, config: FightsStreamsConfig, number: int, split: str
) -> list[RecordingRow]:
    """Streams, the even ones without and the odd ones with fights; no clip twice in one unless there are too few.

    Args:
        clips: Of the split's sources.
        n_streams: How many streams.
        config: How many clips a stream has.
        number: Of the split, part of the seed.
        split: Of the rows.

    Raises:
        InputError: No normal clip has sound, and another clip needs it.
    """
    rng = np.random.default_rng([config.split_seed, number, 0x57EA])
    fights, normal = ([row for row in clips if bool(row.labels) == kind] for kind in (True, False))
    with_sound = [row for row in normal if "audio" in row.media]
    if not with_sound and any("audio" not in row.media for row in clips):
        raise InputError(f"streams: no normal clip of the {split} split has sound; use another --data.split-seed")
    (fewest, most), (least, largest) = config.clips_per_stream, config.fights_per_stream
    rows = []
    for i in range(n_streams):
        total = int(rng.integers(fewest, most + 1))
        n_fights = int(rng.integers(least, largest + 1)) if i % 2 else 0
        drawn = _draw(rng, fights, n_fights) + _draw(rng, normal, total - n_fights)
        drawn = [drawn[k] for k in rng.permutation(len(drawn))]
        with_audio = [row if "audio" in row.media else with_sound[int(rng.integers(len(with_sound)))] for row in drawn]
        media = {
            "visual": tuple(row.media["visual"][0] for row in drawn),
            "audio": tuple(row.media["audio"][0] for row in with_audio),
        }
        segments = tuple((EVENT if row.labels else "normal", bool(row.labels)) for row in drawn)
        name = f"{split}-stream-{i:04d}"
        labels = (EVENT,) if n_fights else ()
        rows.append(RecordingRow(name, split, labels, where=name, media=media, segments=segments))
    return rows


def _draw(rng: np.random.Generator, pool: Sequence[RecordingRow], n: int) -> list[RecordingRow]:
    return [pool[k] for k in rng.choice(len(pool), n, replace=n > len(pool))]
