"""UCF-Crime: anomalies in surveillance videos, from one label a video; published features from the disk.

Source: Sultani, Chen and Shah, "Real-world anomaly detection in surveillance videos", CVPR 2018. Test events are in
``Temporal_Anomaly_Annotation.txt``, a line ``NAME.mp4 CLASS start end start end`` in frames, -1 = none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmcl.config.files import override
from mmcl.config.limits import limited
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import RecordingIndex, RecordingRow, Source
from mmcl.datasets._base import Dataset, Metrics
from mmcl.datasets.sources.draw_share import draw_share
from mmcl.datasets.sources.feature_lists import ListedVideo, find_list, open_crops, read_feature_list
from mmcl.datasets.sources.recipes import detection_recipe, feature_recipe, one_row_a_snippet
from mmcl.datasets.sources.stored import read_stored_crops
from mmcl.errors import FileError, InputError
from mmcl.evaluation.annotated_frames import check_annotation_fits, event_frames
from mmcl.evaluation.frame_level import FrameTruth, frame_metrics
from mmcl.evaluation.metrics import average_precision, roc_auc
from mmcl.types import Interval, Recording, SnippetGrid, SnippetScores

__all__ = ["UcfCrime"]

FPS = 30.0
ANNOTATIONS = "Temporal_Anomaly_Annotation.txt"
CLASSES = (
    "Abuse", "Arrest", "Arson", "Assault", "Burglary", "Explosion", "Fighting", "RoadAccidents", "Robbery", "Shooting",
    "Shoplifting", "Stealing", "Vandalism",
)  # fmt: skip
NAME = re.compile(r"([A-Za-z]+?)(?:_Videos?)?_?\d")

Annotations = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class UcfCrimeConfig(DataConfig):
    """Which lists, crops and validation videos.

    Example:
        >>> UcfCrimeConfig().crops
        10
    """

    modalities: tuple[str, ...] = ("visual",)
    """Modalities to learn from: visual, and audio where the lists name its files."""
    labels: Literal["binary", "classes"] = "binary"
    """Anomalous or not, or each of the 13 classes by itself."""
    crops: int = limited(10, 1, 100)
    """At most so many crops of each video, each a training bag of its own; scores are averaged over them."""
    frames_per_row: int = limited(16, 1, 100_000)
    """Frames that a row of the features stands for."""
    validation_share: float = limited(0.1, 0, 0.9)
    """Share of the training videos held out to select the epoch, drawn by the seed; 0: keep the last epoch."""
    train_list: str = ""
    """The list of training files in the folder; found by its name where there is one alone."""
    test_list: str = ""
    """The same of the test files."""


class UcfCrime(Dataset):
    """Detection of anomalies.

    Example:
        >>> UcfCrime().task
        'detection'
    """

    summary = "detect anomalies in surveillance videos from one label a video, on published features"
    data_help = (
        "Folder with feature files (.npy: a crop a file, NAME__0.npy to NAME__9.npy, or all crops in one array) "
        "anywhere below, a train and a test list of them (lines, or CSV with path, audio_path, label), and "
        f"{ANNOTATIONS}."
    )
    task = "detection"
    groups_are_crops = True
    Config = UcfCrimeConfig
    primary_metric = "video ROC-AUC"
    finer_metric = "frame ROC-AUC"

    truth: Annotations | None = None
    frames_per_row: int = 16
    test_videos: frozenset[str] = frozenset()

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        recipe = feature_recipe(override(detection_recipe(), {"data": UcfCrimeConfig()}), self.task, FPS / 16)
        return override(
            recipe,
            {
                "snippets.max_snippets": 200,
                "model.dim": 128,
                "loss.mil.topk_divisor": 16,
                "optim.epochs": 30,
                "loader.batch_size": 64,
            },
        )

    def implied_settings(self, options: DataConfig) -> dict[str, Any]:
        """See ``Dataset.implied_settings``: a snippet is a row of the features."""
        assert isinstance(options, UcfCrimeConfig)
        return one_row_a_snippet(options.frames_per_row / FPS)

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        d = options
        assert isinstance(d, UcfCrimeConfig)
        self.frames_per_row = d.frames_per_row
        classes = CLASSES if d.labels == "classes" else ("anomaly",)
        stored = read_stored_crops(
            data,
            d.crops,
            FPS / d.frames_per_row,
            classes,
            lambda names: _hold_out(names, d.validation_share, seed),
            lambda name: shown_by(name, d),
        )
        if stored is not None:
            self.test_videos = frozenset(row.group for row in stored.of("test"))
            self.truth = read_annotations(data)
            return stored
        videos = {s: read_feature_list(find_list(data, s, getattr(d, f"{s}_list")), data) for s in ("train", "test")}
        annotations = read_annotations(data)
        self.truth = annotations
        self.test_videos = frozenset(v.name for v in videos["test"])
        both = self.test_videos & {v.name for v in videos["train"]}
        if both:
            raise FileError(data, f"{min(both)} is in the train and in the test list", "remove it from one")
        held_out = _hold_out([v.name for v in videos["train"]], d.validation_share, seed)
        width = open_crops(videos["train"][0].visual, 1)[0].shape[-1]
        rows: list[RecordingRow] = []
        for split, listed in videos.items():
            for video in listed:
                of_video = "validation" if video.name in held_out else split
                rows += _rows(video, of_video, d, width, annotations if split == "test" else None)
        return RecordingIndex(tuple(rows), classes, data)

    def annotation_files(self, data: Path) -> tuple[Path, ...]:
        """See ``Dataset.annotation_files``."""
        return tuple(find_annotations(data)[:1])

    def evaluate(self, recordings: Sequence[Recording], scores: Sequence[SnippetScores], grid: SnippetGrid) -> Metrics:
        """Metrics of videos, their crops' scores averaged; of the frames of test videos where events are annotated."""
        crops: dict[str, list[SnippetScores]] = {}
        for recording, score in zip(recordings, scores, strict=True):
            crops.setdefault(recording.group, []).append(score)
        anomalous = np.array([class_of(name) != "Normal" for name in crops])
        of_video = np.array([np.mean([s.bag_score.max() for s in members]) for members in crops.values()])
        metrics = {
            "video ROC-AUC": roc_auc(anomalous, of_video),
            "video average precision": average_precision(anomalous, of_video),
        }
        if self.truth is None or not set(crops) <= self.test_videos:
            return metrics
        curves = {name: np.mean([s.score.max(1) for s in members], 0) for name, members in crops.items()}
        per_row = self.frames_per_row
        positive = [event_frames(self.truth.get(name, ()), len(x), per_row) for name, x in curves.items()]
        codes = tuple(() if class_of(name) == "Normal" else (class_of(name),) for name in crops)
        n = np.array([len(x) for x in curves.values()])
        truth = FrameTruth(tuple(crops), n, np.concatenate(positive), codes, per_row, FPS)
        return metrics | frame_metrics(np.concatenate(list(curves.values())), truth, {c: c for c in CLASSES})


def class_of(name: str) -> str:
    """A video's class by its name, "Normal" of normal ones.

    Raises:
        InputError: The name begins with no class.

    Example:
        >>> class_of("Abuse001_x264"), class_of("Normal_Videos_003_x264"), class_of("Normal_Videos003_x264")
        ('Abuse', 'Normal', 'Normal')
    """
    match = NAME.match(name)
    label = match[1] if match else ""
    if label not in (*CLASSES, "Normal"):
        raise InputError(f"{name}: expected a name that begins with Normal or one of {', '.join(CLASSES)}")
    return label


def read_annotations(data: Path) -> Annotations | None:
    """Event frames of each anomalous test video, half-open; None where the folder has no annotations.

    Args:
        data: The data set's folder; the file may lie anywhere below.

    Raises:
        FileError: A line is not as expected.
    """
    files = find_annotations(data)
    if not files:
        print(f"{data / ANNOTATIONS}: no such file, so metrics are of videos, not of frames", flush=True)
        return None
    events: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(files[0].read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        name, *rest = line.split()
        try:
            frames = [int(v) for v in rest[1:]]
        except ValueError:
            frames = []
        pairs = [(a, b) for a, b in zip(frames[::2], frames[1::2]) if a >= 0 and b >= 0]
        if len(frames) not in (2, 4) or any(b <= a for a, b in pairs):
            raise FileError(files[0], f"line {number}: expected NAME CLASS and pairs start end", "repair the line")
        events.setdefault(name.rsplit(".", 1)[0], []).extend(pairs)
    return events


def find_annotations(data: Path) -> list[Path]:
    """Files of annotations anywhere below the folder, under either name that is around."""
    return sorted(data.rglob(ANNOTATIONS)) or sorted(data.rglob(ANNOTATIONS.replace("Annotation", "Annotations")))


def shown_by(video: str, options: UcfCrimeConfig) -> tuple[str, ...]:
    """The class that a video's name says, of the labels that the options ask for.

    Example:
        >>> shown_by("Abuse001_x264", UcfCrimeConfig()), shown_by("Normal_Videos_003_x264", UcfCrimeConfig())
        (('anomaly',), ())
    """
    shown = class_of(video)
    return () if shown == "Normal" else (shown if options.labels == "classes" else "anomaly",)


def _hold_out(names: Sequence[str], share: float, seed: int) -> frozenset[str]:
    pools = [[n for n in names if (class_of(n) == "Normal") == normal] for normal in (True, False)]
    return draw_share(pools, share, np.random.default_rng([seed, 0x0CF]))


def _rows(
    video: ListedVideo, split: str, options: UcfCrimeConfig, width: int, annotations: Annotations | None
) -> list[RecordingRow]:
    shown = class_of(video.name)
    if video.label and not _agrees(video.label, shown):
        raise FileError(video.visual[0], f"its list says {video.label}, its name {shown}", "repair the list")
    crops = open_crops(video.visual, options.crops, width)
    if len({len(x) for x in crops}) > 1:
        raise FileError(
            video.visual[0], f"crops have {', '.join(str(len(x)) for x in crops)} rows", "expected the same"
        )
    events: tuple[Interval, ...] = ()
    if annotations is not None:
        if (shown != "Normal") != bool(annotations.get(video.name)):
            kind = "anomalous, but has no" if shown != "Normal" else "normal, but has an"
            raise InputError(f"{video.name}: {kind} annotation; are the annotations those of this list?")
        frames = annotations.get(video.name, ())
        check_annotation_fits(video.name, frames, len(crops[0]), options.frames_per_row)
        events = tuple(Interval(a / FPS, b / FPS, shown) for a, b in frames)
    labels = shown_by(video.name, options)
    rows = []
    for c, x in enumerate(crops):
        file = video.visual[min(c, len(video.visual) - 1)]
        sources = {"visual": Source("features", (file,), partial(_rated, x, options.frames_per_row))}
        if video.audio is not None and "audio" in options.modalities:
            sources["audio"] = Source("features", (video.audio,), partial(_audio, video.audio, options.frames_per_row))
        rows.append(RecordingRow(f"{video.name}__{c}", split, labels, video.name, events, sources, "rows"))
    return rows


def _agrees(label: str, shown: str) -> bool:
    """A list's label and the class of a video's name; 0 and 1 say normal and anomalous."""
    return label.casefold() in (shown.casefold(), "0" if shown == "Normal" else "1")


def _rated(x: Any, frames_per_row: int) -> tuple[Any, float]:
    return x, FPS / frames_per_row


def _audio(path: Path, frames_per_row: int) -> tuple[Any, float]:
    return open_crops((path,), 1)[0], FPS / frames_per_row
