"""Metrics of recognition: which class each recording shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.evaluation.calibration import calibration_error
from mmcl.evaluation.metrics import accuracy, macro_f1, roc_auc
from mmcl.types import Recording, SnippetScores


def recording_score(scores: SnippetScores, multiclass: bool) -> np.ndarray:
    """``(class,)`` of the whole recording: of classes that exclude each other the mean of the heads.

    Args:
        scores: Of a recording.
        multiclass: Classes exclude each other.
    """
    return scores.mean_bag_score if multiclass else scores.bag_score


def recognition_metrics(recordings: Sequence[Recording], scores: Sequence[SnippetScores]) -> dict[str, float]:
    """Accuracy and macro F1 of the heads' mean score, of two classes also ROC-AUC; the calibration error of the score
    of the class that is taken; accuracy of each head, on the recordings that have its modality.

    Args:
        recordings: With their labels.
        scores: Of each recording.

    Returns:
        Metrics by name; the mean is of the heads' log-scores.
    """
    truth = np.array([int(r.label.argmax()) for r in recordings if r.label is not None])
    joint = np.stack([s.bag_score for s in scores])
    mean = np.stack([s.mean_bag_score for s in scores])
    metrics = {"accuracy": accuracy(truth, mean.argmax(1)), "macro F1": macro_f1(truth, mean.argmax(1))}
    if joint.shape[1] == 2:
        metrics["ROC-AUC"] = roc_auc(truth == 1, mean[:, 1])
    metrics["calibration error"] = calibration_error(truth == mean.argmax(1), mean.max(1))
    metrics["accuracy, joint head"] = accuracy(truth, joint.argmax(1))
    for m in dict.fromkeys(m for s in scores for m in s.modality_bag_score):
        has = [i for i, s in enumerate(scores) if m in s.modality_bag_score]
        alone = np.stack([scores[i].modality_bag_score[m] for i in has])
        metrics[f"accuracy, {m} alone"] = accuracy(truth[has], alone.argmax(1))
    return metrics | shares_with(scores)


def shares_with(scores: Sequence[SnippetScores]) -> dict[str, float]:
    """Of each modality that some recordings lack, the share of recordings that have it."""
    modalities = dict.fromkeys(m for s in scores for m in s.modality_score)
    has = {m: float(np.mean([m in s.modality_score for s in scores])) for m in modalities}
    return {f"share of recordings with {m}": share for m, share in has.items() if share < 1}
