"""What frozen representations are worth: linear probe, nearest neighbours, retrieval across streams."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from mmcl.data.bags import BagDataset, collate
from mmcl.data.labels import few_labels
from mmcl.losses.diagnostics import alignment, uniformity
from mmcl.metrics import accuracy
from mmcl.training.step import of_recordings
from mmcl.types import Clock, Encoded, Recording

BATCH = 64


@dataclass(frozen=True)
class Embedded:
    """Frozen representations of recordings: ``embedding[m] (recording, dim)``, of one stream, what probes see, and
    ``projection[m]``, what the contrast compares. ``action (recording,)``: class numbers."""

    embedding: Mapping[str, np.ndarray]
    projection: Mapping[str, np.ndarray]
    action: np.ndarray

    def features(self, modalities: Sequence[str]) -> np.ndarray:
        """The embeddings of these modalities side by side."""
        return np.concatenate([self.embedding[m] for m in modalities], 1)


@torch.no_grad()
def embed(network: nn.Module, recordings: Sequence[Recording], clock: Clock, device="cpu") -> Embedded:
    """Recordings as they are, no augmentation, the network in evaluation mode."""
    was_training = network.training
    network.eval()
    data = BagDataset(recordings, clock, strength=0.0)
    embedding: dict[str, list[np.ndarray]] = {}
    projection: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(recordings), BATCH):
        bags = collate([data[-1, i] for i in range(start, min(start + BATCH, len(recordings)))]).to(device)
        encoded: Encoded = network(bags)
        for kept, made in ((embedding, encoded.own or encoded.embedding), (projection, encoded.projection)):
            for m, z in of_recordings(made, bags.mask).items():
                kept.setdefault(m, []).append(z.cpu().numpy())
    network.train(was_training)
    whole = lambda parts: {m: np.concatenate(v) for m, v in parts.items()}
    action = np.array([int(label.argmax()) for label in data.labels])
    return Embedded(whole(embedding), whole(projection), action)


def linear_probe(c: float = 1.0) -> Pipeline:
    """Logistic regression on standardised features; c: inverse strength of its L2 penalty."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))


def nearest_neighbours(k: int = 1) -> Pipeline:
    """By cosine among the labelled recordings."""
    return make_pipeline(StandardScaler(), KNeighborsClassifier(k, metric="cosine"))


PROBES = {"linear": linear_probe, "k-NN": nearest_neighbours}


def probe_accuracy(
    train: Embedded, test: Embedded, labelled: Sequence[int], modalities: Sequence[str], kind: str = "linear"
) -> float:
    """Accuracy on ``test`` of a probe fitted on these rows of ``train``."""
    rows = np.asarray(labelled)
    with warnings.catch_warnings():  # a class may have one label only
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        probe = PROBES[kind]().fit(train.features(modalities)[rows], train.action[rows])
    return accuracy(test.action, probe.predict(test.features(modalities)))


def probe_scores(embedded: Embedded, recordings: Sequence[Recording]) -> np.ndarray:
    """``(recording, class)``: what a linear probe, fitted to those of the recordings that have a label, says of all."""
    label = np.stack([r.label for r in recordings if r.label is not None])
    known = label.any(1)
    x = embedded.features(tuple(embedded.embedding))
    scale = StandardScaler().fit(x)  # on all, the statistics need no label
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        fitted = LogisticRegression(C=1.0, max_iter=2000).fit(
            scale.transform(x[known]), label[known].argmax(1)
        )
    scores = np.zeros_like(label)
    scores[:, fitted.classes_] = fitted.predict_proba(scale.transform(x))
    return scores


def labelled_rows(recordings: Sequence[Recording], labels: float, seed: int) -> list[int]:
    """Numbers of the recordings that ``few_labels`` draws."""
    number = {id(r): i for i, r in enumerate(recordings)}
    return [number[id(r)] for r in few_labels(recordings, labels, seed)]


def retrieval_accuracy(embedded: Embedded, query: str, key: str) -> float:
    """How often the recording whose ``key`` projection is nearest to a ``query`` projection shows the
    same action, the query's own recording among the candidates."""
    unit = {
        m: z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12) for m, z in embedded.projection.items()
    }
    nearest = (unit[query] @ unit[key].T).argmax(1)
    return accuracy(embedded.action, embedded.action[nearest])


def representation_figures(embedded: Embedded) -> dict[str, float]:
    """Figures that need no labelled training part: retrieval, alignment, uniformity."""
    figures = {}
    for a in embedded.projection:
        for b in embedded.projection:
            if a != b:
                figures[f"retrieval accuracy, {a} -> {b}"] = retrieval_accuracy(embedded, a, b)
    z = {m: torch.from_numpy(v) for m, v in embedded.projection.items()}
    first, second = list(z.values())[:2]
    figures["alignment"] = float(alignment(first, second))
    return figures | {f"uniformity, {m}": float(uniformity(v)) for m, v in z.items()}


def judge_representation(
    network: nn.Module,
    train: Sequence[Recording],
    recordings: Sequence[Recording],
    clock: Clock,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """``representation_figures`` of the recordings, and linear probes fitted on all of ``train``."""
    known, judged = embed(network, train, clock, device), embed(network, recordings, clock, device)
    modalities = tuple(judged.embedding)
    figures = {}
    for name, seen in {"": modalities, **{f", {m} alone": (m,) for m in modalities}}.items():
        figures[f"linear probe accuracy{name}"] = probe_accuracy(known, judged, range(len(train)), seen)
    return figures | representation_figures(judged)
