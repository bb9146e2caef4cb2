"""XD-Violence: violent or not, from one bit (or the class codes) a video; features from the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mmcl.config import Config
from mmcl.data.xd_violence import (
    CLASSES,
    FPS,
    FRAMES_PER_SNIPPET,
    codes_of,
    find_features,
    frame_truth,
    open_features,
    read_annotations,
    read_features,
)
from mmcl.errors import InputError
from mmcl.features.store import read_cards
from mmcl.frame_evaluation import ANNOTATIONS, frame_figures
from mmcl.metrics import Ranking, average_precision, roc_auc
from mmcl.tasks.task import PARTS, Figures, Task
from mmcl.types import Clock, Interval, Recording, Timeline


def judge_xd_violence(
    recordings: Sequence[Recording],
    timelines: Sequence[Timeline],
    clock: Clock,
    annotations: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> Figures:
    """Figures of videos, their crops' scores averaged; of frames too, where events are annotated.

    Of several classes a snippet's violence is the highest one.
    """
    crops: dict[str, list[Timeline]] = {}
    for recording, timeline in zip(recordings, timelines, strict=True):
        crops.setdefault(recording.group, []).append(timeline)
    violent = np.array([bool(codes_of(name)) for name in crops])
    video = np.array([np.mean([t.bag_score.max() for t in of]) for of in crops.values()])
    figures = {
        "video average precision": average_precision(violent, video),
        "video ROC-AUC": roc_auc(violent, video),
    }
    if annotations is not None:
        lengths = {name: len(of[0].score) for name, of in crops.items()}
        truth = frame_truth(list(crops), lengths, annotations)
        heads = {"": lambda t: t.score} | {
            f", {m} alone": (lambda t, m=m: t.modality_score[m]) for m in timelines[0].modality_score
        }
        for suffix, head in heads.items():
            score = np.concatenate([np.mean([head(t).max(1) for t in of], 0) for of in crops.values()])
            is_event = truth.positive > FRAMES_PER_SNIPPET / 2
            figures[f"snippet average precision{suffix}"] = average_precision(is_event, score)
            if suffix:
                whole = Ranking(score, truth.positive, truth.negative, truth.video).counts(
                    np.ones(len(crops))
                )
                figures[f"frame average precision{suffix}"] = whole.average_precision
            else:
                figures |= frame_figures(score, truth)
    return figures


def xd_violence(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """Violent or not, from one bit (or the class codes) a video; features from the disk.

    Of parts that are not asked for no file is opened, and they are empty."""
    d = config.bags
    cards = read_cards(data)
    crops = min(d.crops, cards["visual"].crops) if "visual" in cards else d.crops
    videos = find_features(data, crops)
    if not videos["train"] or not videos["test"]:
        part = "train" if not videos["train"] else "test"
        raise InputError(
            f"{data}: holds no videos of the {part} part; name its folder {part}, or add visual_{part}.list"
        )
    first = videos["train"][0]
    widths = {
        "visual": open_features(first.visual[0]).shape[1],
        "audio": open_features(first.audio).shape[1],
    }
    names = tuple(CLASSES.values()) if d.labels == "classes" else ("violence",)

    def label_of(name: str) -> np.ndarray:
        codes = codes_of(name)
        return np.array([c in codes for c in CLASSES] if d.labels == "classes" else [bool(codes)], np.float32)

    held_out = hold_out([v.name for v in videos["train"]], d.validation_share, config.optim.seed)
    made: dict[str, list[Recording]] = {}
    for part, of in (
        ("train", [v for v in videos["train"] if v.name not in held_out]),
        ("validation", [v for v in videos["train"] if v.name in held_out]),
        ("test", videos["test"]),
    ):
        recordings, n_trimmed = read_features(of if part in parts else [], label_of, widths)
        made[part] = [r.only(d.modalities) for r in recordings]
        if n_trimmed:
            print(f"{part}: {n_trimmed} pairs of files differ by one row, trimmed to the shorter", flush=True)
    path = data / ANNOTATIONS
    annotations = read_annotations(path) if path.exists() else None
    if annotations is None:
        print(f"{path}: no such file, so figures are of videos, not of frames", flush=True)
    else:
        made["test"] = [with_intervals(r, annotations) for r in made["test"]]
    judge = partial(_judge_part, annotations=annotations, test=frozenset(v.name for v in videos["test"]))
    return Task(
        names,
        made["train"],
        made["validation"],
        made["test"],
        judge,
        "video average precision",
        {m: widths[m] for m in d.modalities},
        {m: cards[m] for m in d.modalities if m in cards},
    )


def _judge_part(recordings, timelines, clock, *, annotations, test: frozenset[str]) -> Figures:
    """Only test videos are annotated."""
    known = annotations if recordings[0].group in test else None
    return judge_xd_violence(recordings, timelines, clock, known)


def hold_out(names: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """A share of the videos, drawn by the seed, the same of violent and of normal ones."""
    rng = np.random.default_rng([seed, 0xD])
    chosen: set[str] = set()
    for violent in (True, False):
        pool = sorted(n for n in names if bool(codes_of(n)) == violent)
        chosen |= {pool[i] for i in rng.permutation(len(pool))[: round(share * len(pool))]}
    return frozenset(chosen)


def with_intervals(recording: Recording, annotations: Mapping[str, Sequence[tuple[int, int]]]) -> Recording:
    name = ", ".join(CLASSES[c] for c in codes_of(recording.group))
    events = tuple(Interval(a / FPS, b / FPS, name) for a, b in annotations.get(recording.group, ()))
    return replace(recording, intervals=events)
