"""Which modalities a linear baseline's joint score reads: what does not help on recordings of others is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.data.snippet_features import snippet_features
from mmcl.evaluation.metrics import roc_auc
from mmcl.inference.linear_baseline import LinearBaseline, LinearModel, draw_bags
from mmcl.types import Recording

Trial = tuple[LinearBaseline, Sequence[Recording]]


def choose_modalities(baseline: LinearBaseline, trials: Sequence[Trial]) -> LinearBaseline:
    """The baseline whose joint score is of the best modality alone, or of all where these do better by more than
    chance.

    A small split misleads. So every candidate is evaluated in all trials, such as fitted to training and tried on
    validation recordings and the other way round, by the ROC-AUC of bags, for which weak labels are enough; and all
    must exceed the best one alone by ``least_gain``, the largest standard error of a share.

    Args:
        baseline: Fitted to two modalities or more.
        trials: Baselines like it, each with labelled recordings that it was not fitted to.
    """
    valid = [(b, r) for b, r in trials if set(b.alone) == set(baseline.alone)]
    fitted = [baseline, *(b for b, _ in valid)]
    names = [m for m in baseline.alone if all(depends_on_features(b.alone[m]) for b in fitted)]
    if len(names) < 2:
        return baseline.only_joint_of(names[0]) if names else baseline
    values = [bag_roc_auc([b, *(b.only_joint_of(name) for name in names)], recordings) for b, recordings in valid]
    kept = np.array([v for v in values if not np.isnan(v).any()])
    if not len(kept):
        return baseline
    of_all, *alone = kept.mean(0)
    n = min(len(recordings) for _, recordings in valid)
    if of_all >= max(alone) + least_gain(n):
        return baseline
    return baseline.only_joint_of(names[int(np.argmax(alone))])


def depends_on_features(model: LinearModel) -> bool:
    """Is a model's score no constant?"""
    return any(bool(np.any(weight)) for weight in model.weight.values())


def least_gain(n: int) -> float:
    """What a metric of n recordings shows by chance.

    Example:
        >>> least_gain(100)
        0.05
    """
    return 0.5 / max(n, 1) ** 0.5


def bag_roc_auc(candidates: Sequence[LinearBaseline], recordings: Sequence[Recording]) -> list[float]:
    """Of each candidate the mean ROC-AUC of bags over the classes that tell some of them apart.

    Args:
        candidates: That were not fitted to the recordings; all of one grid, so that features are computed once.
        recordings: With labels; of very many some are drawn.

    Returns:
        NaN where no class does.
    """
    sample = draw_bags(recordings, lambda r: r.label is not None)
    if not sample:
        return [float("nan")] * len(candidates)
    score = []
    for recording in sample:
        rows = snippet_features(recording, candidates[0].grid)
        score.append([c.score(recording, rows).bag_score for c in candidates])
    label = np.stack([r.label for r in sample if r.label is not None]) > 0
    return [_mean_roc_auc(label, of_candidate) for of_candidate in np.array(score).swapaxes(0, 1)]


def _mean_roc_auc(label: np.ndarray, score: np.ndarray) -> float:
    of_classes = [roc_auc(label[:, k], score[:, k]) for k in range(label.shape[1])]
    known = [v for v in of_classes if v == v]
    return float(np.mean(known)) if known else float("nan")
