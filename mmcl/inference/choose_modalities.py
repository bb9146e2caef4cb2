"""Which modalities a linear baseline's joint score reads: what does not help on recordings of others is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.evaluation.metrics import roc_auc
from mmcl.inference.linear_baseline import MAX_BAGS, LinearBaseline
from mmcl.types import Recording

Trial = tuple[LinearBaseline, Sequence[Recording]]


def choose_modalities(baseline: LinearBaseline, trials: Sequence[Trial]) -> LinearBaseline:
    """The baseline whose joint score is of the best modality alone, or of all where these do better by more than
    chance.

    A small split misleads. So every candidate is evaluated in all trials, such as fitted to training and tried on
    validation recordings and the other way round, by the ROC-AUC of bags, for which weak labels are enough; and all
    must exceed the best one alone by ``least_gain``, the largest standard error of a share.

    Args:
        baseline: Fitted to all modalities.
        trials: Baselines like it, each with labelled recordings that it was not fitted to.
    """
    names = list(baseline.alone)
    if len(names) == 1:
        return baseline
    valid = [(b, r) for b, r in trials if set(b.alone) == set(names)]
    values = [[bag_roc_auc(b, recordings, c) for c in ("", *names)] for b, recordings in valid]
    kept = np.array([v for v in values if not np.isnan(v).any()])
    if not len(kept):
        return baseline
    of_all, *alone = kept.mean(0)
    n = min(len(recordings) for _, recordings in valid)
    if of_all >= max(alone) + least_gain(n):
        return baseline
    return baseline.only_joint_of(names[int(np.argmax(alone))])


def least_gain(n: int) -> float:
    """What a metric of n recordings shows by chance.

    Example:
        >>> least_gain(100)
        0.05
    """
    return 0.5 / max(n, 1) ** 0.5


def bag_roc_auc(baseline: LinearBaseline, recordings: Sequence[Recording], modality: str = "") -> float:
    """Mean ROC-AUC of bags over the classes that tell some of them apart.

    Args:
        baseline: That was not fitted to them.
        recordings: With labels; at most ``MAX_BAGS`` evenly spread ones are scored.
        modality: Whose score, "" = the joint one.

    Returns:
        NaN where no class does.
    """
    labelled = [r for r in recordings if r.label is not None]
    sample = labelled[:: -(-len(labelled) // MAX_BAGS) or 1]
    if not sample:
        return float("nan")
    scored = list(baseline.only_joint_of(modality).predict(sample))
    score, label = np.stack([s.bag_score for s in scored]), np.stack([r.label for r in sample if r.label is not None])
    of_classes = [roc_auc(label[:, k] > 0, score[:, k]) for k in range(label.shape[1])]
    known = [v for v in of_classes if v == v]
    return float(np.mean(known)) if known else float("nan")
