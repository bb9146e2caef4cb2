"""The jobs, from a data folder to recordings by part and the figures that judge them.

A task says which recordings train, validate and test, and how timelines are judged. Nothing below
this file knows which data set it works on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmcl.config import Config
from mmcl.data.labels import few_labels
from mmcl.data.streams import compose_streams, snippet_truth
from mmcl.data.utd_mhad import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS, read_utd_mhad
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
from mmcl.features.frontends import Card
from mmcl.features.store import read_cards
from mmcl.frame_evaluation import ANNOTATIONS, frame_figures
from mmcl.metrics import Ranking, accuracy, average_precision, macro_f1, roc_auc, trapezoid_pr_auc
from mmcl.models.build import clock_of
from mmcl.scoring import Scorer
from mmcl.types import Clock, Interval, Recording, Timeline

Figures = dict[str, float]
Judge = Callable[[Sequence[Recording], Sequence[Timeline], Clock], Figures]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Task:
    """Recordings by part, the classes, and how timelines are judged."""

    classes: tuple[str, ...]
    train: list[Recording]
    validation: list[Recording]
    test: list[Recording]
    judge: Judge
    select_by: str
    n_channels: Mapping[str, int] = field(default_factory=dict)  # widths of precomputed features
    front_ends: Mapping[str, Card] = field(default_factory=dict)  # what made them, where that is known
    repeats: int = 1  # times that an epoch goes through the training part


def split_subjects(config: Config) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training and validation subjects; both among 1, 3, 5, 7, never a test subject."""
    held_out = config.bags.validation_subjects
    wrong = [s for s in held_out if s not in TRAIN_SUBJECTS]
    if wrong:
        raise InputError(
            f"--bags.validation-subjects: expected some of {TRAIN_SUBJECTS} (the test subjects are never used to choose), got {wrong[0]}"
        )
    train = tuple(s for s in TRAIN_SUBJECTS if s not in held_out)
    if not train:
        raise InputError("--bags.validation-subjects: no subject is left to train on")
    return train, held_out


def judge_streams(recordings: Sequence[Recording], timelines: Sequence[Timeline], clock: Clock) -> Figures:
    """Snippet-level figures against the true intervals, joint and per modality; bag-level AUC."""
    truth = np.concatenate(
        [snippet_truth(r, clock, len(t.score)) for r, t in zip(recordings, timelines, strict=True)]
    )
    label = np.array([bool(r.label is not None and r.label.any()) for r in recordings])
    joint = np.concatenate([t.score[:, 0] for t in timelines])
    figures = {
        "snippet average precision": average_precision(truth, joint),
        "snippet trapezoid PR-AUC": trapezoid_pr_auc(truth, joint),
        "snippet ROC-AUC": roc_auc(truth, joint),
        "bag ROC-AUC": roc_auc(label, np.array([t.bag_score[0] for t in timelines])),
        "share of event snippets": float(truth.mean()),
    }
    for m in timelines[0].modality_score:
        figures[f"snippet average precision, {m} alone"] = average_precision(
            truth, np.concatenate([t.modality_score[m][:, 0] for t in timelines])
        )
    return figures


def judge_recognition(
    recordings: Sequence[Recording], timelines: Sequence[Timeline], clock: Clock
) -> Figures:
    """Accuracy and macro F1 of each head and of the heads' mean score."""
    truth = np.array([int(r.label.argmax()) for r in recordings if r.label is not None])
    heads = {"joint head": np.stack([t.bag_score for t in timelines])}
    heads |= {
        f"{m} alone": np.stack([t.modality_bag_score[m] for t in timelines])
        for m in timelines[0].modality_bag_score
    }
    mean = np.mean([np.log(h + 1e-12) for h in heads.values()], axis=0)
    figures = {"accuracy": accuracy(truth, mean.argmax(1)), "macro F1": macro_f1(truth, mean.argmax(1))}
    return figures | {f"accuracy, {name}": accuracy(truth, h.argmax(1)) for name, h in heads.items()}


def utd_mhad(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """27-class recognition: a trimmed recording is a bag."""
    train_subjects, held_out = split_subjects(config)
    recordings = [r.only(config.bags.modalities) for r in read_utd_mhad(data)]
    of = {"train": train_subjects, "validation": held_out, "test": TEST_SUBJECTS}
    made = {p: [r for r in recordings if p in parts and int(r.group) in of[p]] for p in PARTS}
    labelled = few_labels(made["train"], config.bags.labelled, config.bags.label_seed)
    repeats = len(made["train"]) // max(len(labelled), 1) or 1
    return Task(
        ACTIONS,
        labelled,
        made["validation"],
        made["test"],
        judge_recognition,
        "accuracy",
        repeats=repeats,
    )


def utd_mhad_streams(data: Path, config: Config, parts: Sequence[str] = PARTS) -> Task:
    """Untrimmed streams, one bit each: does it hold a target action."""
    d = config.bags
    wrong = [a for a in d.targets if not 1 <= a <= len(ACTIONS)]
    if wrong or not d.targets:
        raise InputError(
            f"--bags.targets: expected actions from 1 to {len(ACTIONS)}, got {wrong[0] if wrong else 'none'}"
        )
    train_subjects, held_out = split_subjects(config)
    recordings = read_utd_mhad(data)

    def streams(part: str, subjects: Sequence[int], n: int, number: int) -> list[Recording]:
        chosen = [r for r in recordings if int(r.group) in subjects]
        if not chosen or n == 0 or part not in parts:
            return []
        made = compose_streams(
            chosen,
            n,
            targets=d.targets,
            n_actions=d.actions_per_stream,
            n_targets=d.targets_per_stream,
            seed=3 * d.stream_seed + number,
        )
        return [r.only(d.modalities) for r in made]

    return Task(
        ("target action",),
        streams("train", train_subjects, d.n_train_streams, 0),
        streams("validation", held_out, d.n_test_streams, 1),
        streams("test", TEST_SUBJECTS, d.n_test_streams, 2),
        judge_streams,
        "snippet average precision",
    )


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


TASKS: dict[str, Callable[..., Task]] = {  # (data, config, parts) -> Task
    "utd-mhad": utd_mhad,
    "utd-mhad-streams": utd_mhad_streams,
    "xd-violence": xd_violence,
}


def scorer(
    network: nn.Module, config: Config, classes: tuple[str, ...], device: torch.device | str = "cpu"
) -> Scorer:
    o = config.objective
    return Scorer(network, clock_of(config), classes, o.divisor, o.exclusive, device)
