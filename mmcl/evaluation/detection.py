"""Metrics of detection: when something happens in a recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.evaluation.calibration import calibration_error
from mmcl.evaluation.event_level import event_metrics
from mmcl.evaluation.metrics import average_precision, ranked_counts, roc_auc
from mmcl.evaluation.recognition import shares_with
from mmcl.evaluation.snippet_truth import snippet_truth
from mmcl.types import Recording, SnippetGrid, SnippetScores


def detection_metrics(
    recordings: Sequence[Recording], scores: Sequence[SnippetScores], grid: SnippetGrid
) -> dict[str, float]:
    """Snippets against the true intervals, joint and of each modality; bags against their labels.

    Of several classes a snippet's score is the highest one. Without any interval only bags are evaluated; recordings
    that hold an event of which nobody noted when are left out of the snippets.

    Args:
        recordings: With labels and intervals.
        scores: Of each recording.
        grid: How they were cut into snippets.

    Returns:
        Metrics by name.
    """
    label = np.array([bool(r.label is not None and r.label.any()) for r in recordings])
    of_bag = np.array([s.bag_score.max() for s in scores])
    bag = {
        "bag average precision": average_precision(label, of_bag),
        "bag ROC-AUC": roc_auc(label, of_bag),
        "bag calibration error": calibration_error(label, of_bag),
    }
    if not any(r.intervals for r in recordings):
        for m in dict.fromkeys(m for s in scores for m in s.modality_bag_score):
            has = [i for i, s in enumerate(scores) if m in s.modality_bag_score]
            if len(np.unique(label[has])) < 2:
                continue  # of one kind alone a ranking says nothing
            alone = np.array([scores[i].modality_bag_score[m].max() for i in has])
            bag[f"bag average precision, {m} alone"] = average_precision(label[has], alone)
            bag[f"bag ROC-AUC, {m} alone"] = roc_auc(label[has], alone)
        return bag | shares_with(scores)
    annotated = [i for i, r in enumerate(recordings) if r.intervals or not label[i]]
    recordings, scores = [recordings[i] for i in annotated], [scores[i] for i in annotated]
    truth = np.concatenate([snippet_truth(r, grid, len(s.score)) for r, s in zip(recordings, scores, strict=True)])
    joint = np.concatenate([s.score.max(1) for s in scores])
    ranked = ranked_counts(truth, joint)
    metrics = {
        "snippet average precision": ranked.average_precision,
        "snippet trapezoid PR-AUC": ranked.trapezoid_pr_auc,
        "snippet ROC-AUC": ranked.roc_auc,
        "snippet calibration error": calibration_error(truth, joint),
        **bag,
        "share of event snippets": float(truth.mean()),
    }
    metrics |= event_metrics(joint, truth, [len(s.score) for s in scores], grid.hop_s)
    starts = np.cumsum([0, *(len(s.score) for s in scores)])
    for m in dict.fromkeys(m for s in scores for m in s.modality_score):
        has = [i for i, s in enumerate(scores) if m in s.modality_score]
        alone = np.concatenate([scores[i].modality_score[m].max(1) for i in has])
        truth_m = np.concatenate([truth[starts[i] : starts[i + 1]] for i in has])
        metrics[f"snippet average precision, {m} alone"] = average_precision(truth_m, alone)
    return metrics | shares_with(scores)
