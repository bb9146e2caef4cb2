"""What a task is, and the two ways in which timelines are judged that any data set may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmcl.config import Config
from mmcl.data.labels import few_labels
from mmcl.data.streams import snippet_truth
from mmcl.features.frontends import Card
from mmcl.metrics import accuracy, average_precision, macro_f1, roc_auc, trapezoid_pr_auc
from mmcl.models.build import Shape
from mmcl.types import Clock, Recording, Timeline

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
    n_channels: Mapping[str, Shape] = field(
        default_factory=dict
    )  # of features, and of sensors unlike UTD-MHAD's
    front_ends: Mapping[str, Card] = field(default_factory=dict)  # what made them, where that is known
    repeats: int = 1  # times that an epoch goes through the training part


def judge_streams(recordings: Sequence[Recording], timelines: Sequence[Timeline], clock: Clock) -> Figures:
    """Snippet-level figures against the true intervals, joint and per modality; bag-level AUC.

    Of several classes a snippet's score is the highest one. Without any interval: bag-level figures alone; positive
    recordings whose events nobody noted are no part of the snippet-level ones.
    """
    label = np.array([bool(r.label is not None and r.label.any()) for r in recordings])
    of_bag = np.array([t.bag_score.max() for t in timelines])
    bag = {"bag average precision": average_precision(label, of_bag), "bag ROC-AUC": roc_auc(label, of_bag)}
    if not any(r.intervals for r in recordings):
        return bag
    known = [i for i, r in enumerate(recordings) if r.intervals or not label[i]]
    recordings, timelines = [recordings[i] for i in known], [timelines[i] for i in known]
    truth = np.concatenate(
        [snippet_truth(r, clock, len(t.score)) for r, t in zip(recordings, timelines, strict=True)]
    )
    joint = np.concatenate([t.score.max(1) for t in timelines])
    figures = {
        "snippet average precision": average_precision(truth, joint),
        "snippet trapezoid PR-AUC": trapezoid_pr_auc(truth, joint),
        "snippet ROC-AUC": roc_auc(truth, joint),
        **bag,
        "share of event snippets": float(truth.mean()),
    }
    for m in timelines[0].modality_score:
        figures[f"snippet average precision, {m} alone"] = average_precision(
            truth, np.concatenate([t.modality_score[m].max(1) for t in timelines])
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


def with_labels(train: Sequence[Recording], config: Config) -> tuple[list[Recording], int]:
    """The labelled training recordings and how often they fit into an epoch on all; unless
    ``bags.unlabelled`` leaves them out all recordings, the others' labels put to 0."""
    d = config.bags
    chosen = few_labels(train, d.labelled, d.label_seed)
    if d.unlabelled == "out":
        return chosen, len(train) // max(len(chosen), 1) or 1
    known = {id(r) for r in chosen}
    blank = lambda r: r if id(r) in known or r.label is None else replace(r, label=np.zeros_like(r.label))
    return [blank(r) for r in train], 1
