"""Metrics of recognition: which class each recording shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.evaluation.metrics import accuracy, macro_f1
from mmcl.types import Recording, SnippetScores


def recognition_metrics(recordings: Sequence[Recording], scores: Sequence[SnippetScores]) -> dict[str, float]:
    """Accuracy and macro F1 of the heads' mean score, and accuracy of each head.

    Args:
        recordings: With their labels.
        scores: Of each recording.

    Returns:
        Metrics by name; the mean is of the heads' log-scores.
    """
    truth = np.array([int(r.label.argmax()) for r in recordings if r.label is not None])
    heads = {"joint head": np.stack([s.bag_score for s in scores])}
    for m in scores[0].modality_bag_score:
        heads[f"{m} alone"] = np.stack([s.modality_bag_score[m] for s in scores])
    mean = np.mean([np.log(h + 1e-12) for h in heads.values()], axis=0)
    metrics = {"accuracy": accuracy(truth, mean.argmax(1)), "macro F1": macro_f1(truth, mean.argmax(1))}
    return metrics | {f"accuracy, {name}": accuracy(truth, h.argmax(1)) for name, h in heads.items()}
