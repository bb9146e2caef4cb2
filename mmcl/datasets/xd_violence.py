"""XD-Violence: violence in videos, from one label (or the class codes) a video; features from the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmcl.config.files import override
from mmcl.config.limits import limited
from mmcl.config.schema import DataConfig, RunConfig
from mmcl.data.recording_index import SPLITS, RecordingIndex, RecordingRow, Source
from mmcl.datasets._base import Dataset, Metrics, Preset
from mmcl.datasets.sources.draw_share import draw_share
from mmcl.datasets.sources.recipes import one_row_a_snippet
from mmcl.datasets.sources.stored import read_stored_crops
from mmcl.datasets.sources.xd_violence_features import Features, find_features, open_features
from mmcl.datasets.sources.xd_violence_files import (
    CLASSES,
    FPS,
    FRAMES_PER_SNIPPET,
    codes_of,
    frame_truth,
    read_annotations,
)
from mmcl.datasets.sources.xd_violence_scores import ANNOTATIONS
from mmcl.errors import FileError, InputError
from mmcl.evaluation.frame_level import frame_metrics
from mmcl.evaluation.metrics import Ranking, average_precision, roc_auc
from mmcl.features.store import file_suffix, read_cards
from mmcl.readers.lazy_array import LazyArray, LazyCrop
from mmcl.types import Interval, Recording, SnippetGrid, SnippetScores

__all__ = ["XdViolence"]

Annotations = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class XdViolenceConfig(DataConfig):
    """Which labels, crops and validation videos.

    Example:
        >>> XdViolenceConfig().crops
        5
    """

    modalities: tuple[str, ...] = ("visual", "audio")
    """Modalities to learn from; one alone trains a unimodal model."""
    validation_share: float = 0.1
    """Share of the training videos held out to select the epoch, drawn by the seed; 0: train on all and keep the last
    epoch."""
    labels: Literal["binary", "classes"] = "binary"
    """Violent or not, or each of the six classes by itself."""
    train_list: str = ""
    """The list of training files in the folder; visual_train.list, or the only one by its name, where there is one."""
    test_list: str = ""
    """The same of the test files."""
    crops: int = 5
    """At most so many visual crops of each video, each a training bag of its own; scores are averaged over them
    (MACIL-SD: 5)."""
    frames_per_row: int = limited(16, 1, 100_000)
    """Frames at 24 fps that a row of the features stands for (64 in some mirrors)."""


class XdViolence(Dataset):
    """Detection of violence; MACIL-SD with the authors' settings and, where their code departs from their paper, the
    paper's.

    Example:
        >>> list(XdViolence().presets())
        ['macil-sd-code']
    """

    summary = "detect violence in videos from one label a video, on features from the disk"
    data_help = (
        "Folder with feature files NAME__0.npy to NAME__4.npy and NAME__vggish.npy anywhere below, and annotations.txt."
    )
    task = "detection"
    groups_are_crops = True
    Config = XdViolenceConfig
    primary_metric = "video average precision"
    finer_metric = "frame average precision"

    annotations: Annotations | None = None
    test_videos: frozenset[str] = frozenset()
    frames_per_row: int = FRAMES_PER_SNIPPET

    def recipe(self) -> RunConfig:
        """See ``Dataset.recipe``."""
        return override(
            RunConfig(data=XdViolenceConfig()),
            {
                "snippets.hop_s": 2 / 3,
                "snippets.window_s": 2 / 3,
                "snippets.max_snippets": 200,
                "augment.strength": 0.0,
                "augment.shuffle_hops": 0,
                "augment.insertion": 0.0,
                "model.architecture": "macil-sd",
                "loss.mil.topk_divisor": 16,
                "loss.mil.unimodal": 0.0,
                "loss.mil.normal": 0.0,
                "loss.semibag.weight": 1.5,
                "loss.semibag.rise": 0.1,
                "loss.semibag.temperature": 0.1,
                "loss.semibag.beta": 0.0,
                "loss.semibag.against": ("background", "normal"),
                "loss.semibag.clustering": "topk",
                "loss.semibag.assign": "predicted",
                "loss.snippet.weight": 0.0,
                "loss.snippet.weight_end": 0.0,
                "loss.snippet.temperature": 0.1,
                "loss.recording.temperature": 0.1,
                "loss.distill.weight": 0.0,
                "teacher.unimodal": "visual",
                "teacher.lr_scale": 0.2,
                "teacher.ema_decay": 0.0,
                "optim.epochs": 50,
                "optim.learning_rate": 4e-4,
                "optim.warmup_ratio": 0.0,
                "optim.decay_epochs": 60,
                "optim.weight_decay": 0.0,
                "optim.max_grad_norm": 0.0,
                "loader.batch_size": 128,
            },
        )

    def presets(self) -> Mapping[str, Preset]:
        """See ``Dataset.presets``."""
        departures = {
            "data.validation_share": 0.0,
            "trainer.select_on": "test",
            "loss.semibag.swap_scores": True,
            "loss.semibag.bag_weight": "snippets",
            "loss.semibag.overlap": True,
            "model.attend_to_padding": True,
        }
        return {"macil-sd-code": Preset("where MACIL-SD's code departs from its paper, as the code does", departures)}

    def unused_settings(self) -> tuple[str, ...]:
        """See ``Dataset.unused_settings``."""
        return (*super().unused_settings(), "model.joints", "model.kernel", "snippets.stretch_s")

    def check(self, options: DataConfig) -> None:
        """See ``Dataset.check``."""
        d = options
        assert isinstance(d, XdViolenceConfig)
        if not 0 <= d.validation_share <= 0.9:
            raise InputError(f"--data.validation-share: expected 0 to 0.9, got {d.validation_share}")
        if not 1 <= d.crops <= 100:
            raise InputError(f"--data.crops: expected 1 to 100, got {d.crops}")

    def implied_settings(self, options: DataConfig) -> dict[str, Any]:
        """See ``Dataset.implied_settings``: a snippet is a row of the features."""
        assert isinstance(options, XdViolenceConfig)
        return one_row_a_snippet(options.frames_per_row / FPS)

    def index(self, data: Path, options: DataConfig, seed: int = 0) -> RecordingIndex:
        """See ``Dataset.index``."""
        d = options
        assert isinstance(d, XdViolenceConfig)
        self.frames_per_row = d.frames_per_row
        classes = tuple(CLASSES.values()) if d.labels == "classes" else ("violence",)
        stored = read_stored_crops(
            data,
            d.crops,
            FPS / d.frames_per_row,
            classes,
            lambda names: hold_out(names, d.validation_share, seed),
            lambda name: shown_by(name, d),
        )
        if stored is not None:
            check_stored_crops(stored)
            self.test_videos = frozenset(row.group for row in stored.of("test"))
            self.annotations = self._annotations(data)
            return stored
        cards = read_cards(data)
        suffix = file_suffix(cards["audio"]) if "audio" in cards else ""
        lists = {"train": d.train_list, "test": d.test_list}
        videos = find_features(data, d.crops, suffix, "audio" in d.modalities, lists)
        for split in ("train", "test"):
            if not videos[split]:
                raise InputError(
                    f"{data}: holds no videos of the {split} split; name its folder {split}, or add visual_{split}.list"
                )
        first = videos["train"][0]
        with_audio = next((v.audio for v in (*videos["train"], *videos["test"]) if v.audio is not None), None)
        widths = {"visual": open_features(first.visual[0], crop=0 if first.in_one else None).shape[1]}
        if with_audio is not None:
            widths["audio"] = open_features(with_audio).shape[1]
        held_out = hold_out([v.name for v in videos["train"]], d.validation_share, seed)
        self.test_videos = frozenset(v.name for v in videos["test"])
        self.annotations = self._annotations(data)
        rows: list[RecordingRow] = []
        for video in videos["train"]:
            split = "validation" if video.name in held_out else "train"
            rows += rows_of(video, split, d, widths, {})
        for video in videos["test"]:
            rows += rows_of(video, "test", d, widths, self.annotations or {})
        return RecordingIndex(tuple(rows), classes, data, cards)

    def annotation_files(self, data: Path) -> tuple[Path, ...]:
        """See ``Dataset.annotation_files``."""
        path = find_annotations(data)
        return (path,) if path.exists() else ()

    @staticmethod
    def _annotations(data: Path) -> Annotations | None:
        path = find_annotations(data)
        if path.exists():
            return read_annotations(path)
        print(f"{path}: no such file, so metrics are of videos, not of frames", flush=True)
        return None

    def evaluate(self, recordings: Sequence[Recording], scores: Sequence[SnippetScores], grid: SnippetGrid) -> Metrics:
        """Metrics of videos, their crops' scores averaged; of frames too, where events are annotated."""
        is_test = recordings[0].group in self.test_videos
        return video_metrics(recordings, scores, self.annotations if is_test else None, self.frames_per_row)


def find_annotations(data: Path) -> Path:
    """``annotations.txt`` of the folder, or the only text file below it whose name holds that word."""
    others = [p for p in sorted(data.rglob("*.txt")) if "annotation" in p.name.lower()] if data.is_dir() else []
    usual = data / ANNOTATIONS
    return others[0] if not usual.exists() and len(others) == 1 else usual


def rows_of(
    video: Features, split: str, options: XdViolenceConfig, widths: Mapping[str, int], annotations: Annotations
) -> list[RecordingRow]:
    """A row for each crop; all share the video's audio, and their group is the video."""
    shown = shown_by(video.name, options)
    name = ", ".join(CLASSES[c] for c in codes_of(video.name))
    events = tuple(Interval(a / FPS, b / FPS, name) for a, b in annotations.get(video.name, ()))
    rows = []
    for crop, path in enumerate(video.visual):
        sources = {
            m: Source("features", (file,), partial(_open, file, widths[m], options.frames_per_row, of_file))
            for m, file, of_file in (("visual", path, crop if video.in_one else None), ("audio", video.audio, None))
            if file is not None
        }
        rows.append(RecordingRow(f"{video.name}__{crop}", split, shown, video.name, events, sources, "rows"))
    return rows


def shown_by(video: str, options: XdViolenceConfig) -> tuple[str, ...]:
    """The classes that a video's name says, of the labels that the options ask for.

    Example:
        >>> shown_by("v_label_B1-0-0", XdViolenceConfig()), shown_by("v_label_A", XdViolenceConfig())
        (('violence',), ())
    """
    codes = codes_of(video)
    return tuple(CLASSES[c] for c in codes) if options.labels == "classes" else ("violence",) if codes else ()


def _open(path: Path, width: int, frames_per_row: int, crop: int | None) -> tuple[LazyArray | LazyCrop, float]:
    return open_features(path, width, crop), FPS / frames_per_row


def check_stored_crops(index: RecordingIndex) -> None:
    """All videos of a split have the same number of crops.

    Args:
        index: Of a store, its groups videos.

    Raises:
        FileError: A video has fewer than others.
    """
    for split in SPLITS:
        counts = Counter(row.group for row in index.of(split))
        most = max(counts.values(), default=0)
        for video, n in counts.items():
            if n < most:
                remedy = "convert the data set's folder again"
                raise FileError(index.path, f"{video} has {n} crops, other videos {most}", remedy)


def hold_out(names: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """A share of the videos, drawn by the seed, the same of violent and of normal ones.

    Example:
        >>> sorted(hold_out(["a_label_A", "b_label_A", "c_label_B1", "d_label_B1"], 0.5, 0))
        ['b_label_A', 'c_label_B1']
    """
    pools = [[n for n in names if bool(codes_of(n)) == violent] for violent in (True, False)]
    return draw_share(pools, share, np.random.default_rng([seed, 0xD]))


def video_metrics(
    recordings: Sequence[Recording],
    scores: Sequence[SnippetScores],
    annotations: Annotations | None = None,
    frames_per_row: int = FRAMES_PER_SNIPPET,
) -> Metrics:
    """Metrics of videos, their crops' scores averaged; of frames too, with annotations.

    Of several classes a snippet's score is the highest one.

    Args:
        recordings: One a crop; their group is the video.
        scores: Of each recording.
        annotations: Event frames of each violent video.
        frames_per_row: Frames that a snippet stands for.
    """
    crops: dict[str, list[SnippetScores]] = {}
    for recording, score in zip(recordings, scores, strict=True):
        crops.setdefault(recording.group, []).append(score)
    violent = np.array([bool(codes_of(name)) for name in crops])
    video = np.array([np.mean([s.bag_score.max() for s in members]) for members in crops.values()])
    metrics = {
        "video average precision": average_precision(violent, video),
        "video ROC-AUC": roc_auc(violent, video),
    }
    if annotations is None:
        return metrics
    lengths = {name: len(members[0].score) for name, members in crops.items()}
    truth = frame_truth(list(crops), lengths, annotations, frames_per_row)
    is_event = truth.positive > frames_per_row / 2
    heads = {"": [s.score for s in scores]}
    for m in scores[0].modality_score:
        if all(m in s.modality_score for s in scores):
            heads[f", {m} alone"] = [s.modality_score[m] for s in scores]
    for suffix, of_recording in heads.items():
        by_video: dict[str, list[np.ndarray]] = {}
        for recording, curve in zip(recordings, of_recording, strict=True):
            by_video.setdefault(recording.group, []).append(curve.max(1))
        mean = np.concatenate([np.mean(members, 0) for members in by_video.values()])
        metrics[f"snippet average precision{suffix}"] = average_precision(is_event, mean)
        if suffix:
            ranking = Ranking(mean, truth.positive, truth.negative, truth.video)
            counts = ranking.counts(np.ones(len(crops)))
            metrics[f"frame average precision{suffix}"] = counts.average_precision
        else:
            metrics |= frame_metrics(mean, truth, CLASSES)
    return metrics
