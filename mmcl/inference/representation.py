"""What frozen embeddings hold: linear and nearest-neighbour probes, and retrieval across modalities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from mmcl.distributed import rank
from mmcl.evaluation.diagnostics import alignment, uniformity
from mmcl.evaluation.linear_probe import PROBES
from mmcl.evaluation.metrics import accuracy
from mmcl.inference.embeddings import Embeddings, embed
from mmcl.types import Recording, SnippetGrid


def probe_accuracy(
    train: Embeddings,
    test: Embeddings,
    labelled: Sequence[int],
    modalities: Sequence[str],
    kind: str = "linear",
) -> float:
    """Accuracy on ``test`` of a probe that was fitted on ``train``.

    Args:
        train: Embeddings to fit on.
        test: Embeddings to predict.
        labelled: Numbers of the recordings of ``train`` to fit on.
        modalities: Whose embeddings the probe reads, side by side.
        kind: One of ``PROBES``.
    """
    chosen = np.asarray(labelled)
    with warnings.catch_warnings():  # a class may have one label only
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        probe = PROBES[kind]().fit(train.features(modalities)[chosen], train.label[chosen])
    return accuracy(test.label, probe.predict(test.features(modalities)))


def probe_scores(embeddings: Embeddings, recordings: Sequence[Recording]) -> np.ndarray:
    """Scores of a linear probe that was fitted to those of the recordings that have a label.

    Args:
        embeddings: Of the recordings.
        recordings: Some of them labelled.

    Returns:
        ``(recording, class)``, adding up to 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    label = np.stack([r.label for r in recordings if r.label is not None])
    known = label.any(1)
    x = embeddings.features(tuple(embeddings.embedding))
    scale = StandardScaler().fit(x)  # on all, the statistics need no label
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        fitted = LogisticRegression(C=1.0, max_iter=2000).fit(scale.transform(x[known]), label[known].argmax(1))
    scores = np.zeros_like(label)
    scores[:, fitted.classes_] = fitted.predict_proba(scale.transform(x))
    return scores


def retrieval_accuracy(embeddings: Embeddings, query: str, target: str) -> float:
    """How often the recording whose ``target`` projection is nearest to a ``query`` projection is of the same class.

    The query's own recording is among the candidates.

    Args:
        embeddings: Of recordings.
        query: A modality.
        target: Another modality.

    Example:
        >>> e = Embeddings({}, {"a": np.eye(2), "b": np.eye(2)}, np.array([0, 1]))
        >>> retrieval_accuracy(e, "a", "b")
        1.0
    """
    unit = {m: z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12) for m, z in embeddings.projection.items()}
    nearest = (unit[query] @ unit[target].T).argmax(1)
    return accuracy(embeddings.label, embeddings.label[nearest])


def representation_metrics(embeddings: Embeddings) -> dict[str, float]:
    """Metrics that need no labelled training split: retrieval, alignment, uniformity.

    Args:
        embeddings: Of the recordings of a split.
    """
    metrics = {}
    for a in embeddings.projection:
        for b in embeddings.projection:
            if a != b:
                metrics[f"retrieval accuracy, {a} -> {b}"] = retrieval_accuracy(embeddings, a, b)
    z = {m: torch.from_numpy(v) for m, v in embeddings.projection.items()}
    first, second = list(z.values())[:2]
    metrics["alignment"] = float(alignment(first, second))
    return metrics | {f"uniformity, {m}": float(uniformity(v)) for m, v in z.items()}


def evaluate_representation(
    network: nn.Module,
    train: Sequence[Recording],
    recordings: Sequence[Recording],
    grid: SnippetGrid,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """``representation_metrics`` of the recordings, and linear probes fitted on all of ``train``.

    Of several processes all have to ask for it; the first one gets the metrics, the others nothing.

    Args:
        network: In the form ``Bags -> ModelOutput``.
        train: The training split, with labels.
        recordings: To evaluate on.
        grid: How recordings are cut into snippets.
        device: Where to compute.
    """
    of_train, evaluated = (embed(network, of, grid, device, shared=True) for of in (train, recordings))
    if rank() != 0:
        return {}
    modalities = tuple(evaluated.embedding)
    metrics = {}
    for name, used in {"": modalities, **{f", {m} alone": (m,) for m in modalities}}.items():
        metrics[f"linear probe accuracy{name}"] = probe_accuracy(of_train, evaluated, range(len(train)), used)
    return metrics | representation_metrics(evaluated)
