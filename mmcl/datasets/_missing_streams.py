"""Which recordings lack which modality, and whether the lack itself tells the class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmcl.data.recording_index import SPLITS
from mmcl.datasets._splits import DataSplits
from mmcl.evaluation.metrics import roc_auc
from mmcl.types import Recording

SUSPICIOUS = 0.01  # a smaller p of "has it" and "is of the class" being independent is warned of


def describe_missing_streams(splits: DataSplits) -> tuple[list[str], dict[str, float]]:
    """Lines for the user, and metrics of the training split.

    Args:
        splits: The data set's recordings.

    Returns:
        Nothing where no recording lacks anything. Else a line that counts, by split, and one for each modality whose
        presence tells a class; for each such modality its share of the training recordings, and the ROC-AUC by which
        "has it" tells the class that it tells best (0.5 = nothing).
    """
    lines: list[str] = []
    metrics: dict[str, float] = {}
    of_splits = {s: splits.of(s) for s in SPLITS if splits.of(s)}
    for m in splits.inputs:
        lacking = {s: sum(m not in r.signal for r in recordings) for s, recordings in of_splits.items()}
        if not any(lacking.values()):
            continue
        counts = [f"{n} of {len(of_splits[s])} in {s}" for s, n in lacking.items()]
        lines.append(f"recordings without {m}: {', '.join(counts)}")
        auc, p, name = _tells(m, splits.train, splits.classes)
        metrics[f"train share of recordings with {m}"] = float(np.mean([m in r.signal for r in splits.train]))
        if auc == auc:
            metrics[f"train ROC-AUC of having {m}"] = auc
        if p < SUSPICIOUS:
            lines.append(
                f"warning: having {m} alone tells {name} with ROC-AUC {auc:.2f} (p = {p:.1g}): a model may learn the "
                "lack instead of what is there; compare with --data.modalities of the others"
            )
    return lines, metrics


def _tells(m: str, recordings: Sequence[Recording], classes: Sequence[str]) -> tuple[float, float, str]:
    """ROC-AUC, p (Fisher's exact test) and the class that the presence of a modality tells best."""
    from scipy.stats import fisher_exact

    has = np.array([m in r.signal for r in recordings])
    best = (float("nan"), 1.0, "")
    for k, name in enumerate(classes):
        label = np.array([bool(r.label is not None and r.label[k]) for r in recordings])
        auc = roc_auc(label, has.astype(float))
        if auc != auc or not has.any() or has.all():
            continue
        table = [[int((has & label).sum()), int((has & ~label).sum())]]
        table.append([int((~has & label).sum()), int((~has & ~label).sum())])
        p = float(fisher_exact(table).pvalue)
        if p < best[1] or not best[2]:
            best = (auc, p, name)
    return best
