"""Which recordings lack which modality, and whether the lack itself tells the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmcl.data.columns import having, labels_of
from mmcl.data.recording_index import SPLITS, RecordingIndex, RecordingRow
from mmcl.datasets._splits import DataSplits
from mmcl.evaluation.metrics import roc_auc

SUSPICIOUS = 0.01  # a smaller p of "has it" and "is of the class" being independent is warned of


def describe_missing_streams(splits: DataSplits) -> tuple[list[str], dict[str, float]]:
    """Lines for the user, and metrics, of recordings that are read.

    Args:
        splits: The data set's recordings.

    Returns:
        Nothing where no recording lacks anything. Else a line that counts, by split, and one for each modality whose
        presence tells a class; for each such modality the share of recordings of a split that have it, and the ROC-AUC
        by which "has it" tells the class that it tells best in the training split (0.5 = nothing).
    """
    has = {m: {s: having(splits.of(s), m) for s in SPLITS if splits.of(s)} for m in splits.inputs}
    return _describe(has, labels_of(splits.train, len(splits.classes)) > 0, splits.classes)


def describe_missing_of_rows(
    index: RecordingIndex, modalities: Sequence[str], by_split: bool = True
) -> tuple[list[str], dict[str, float]]:
    """The same of an index, before features are made.

    Args:
        index: With the streams that media files hold.
        modalities: That matter.
        by_split: Count each split; else all rows as one.
    """
    of_splits: dict[str, Sequence[RecordingRow]] = {"all": index.rows}
    if by_split:
        of_splits = {s: index.of(s) for s in SPLITS if index.of(s)}
    has = {
        m: {s: np.array([m in row.sources or m in row.media for row in rows]) for s, rows in of_splits.items()}
        for m in modalities
    }
    rows = next(iter(of_splits.values()))
    label = np.array([[c in row.labels for c in index.classes] for row in rows])
    return _describe(has, label, index.classes)


def _describe(
    has: Mapping[str, Mapping[str, np.ndarray]], label: np.ndarray, classes: Sequence[str]
) -> tuple[list[str], dict[str, float]]:
    """Of ``has[modality][split]`` and the labels of the first split."""
    lines: list[str] = []
    metrics: dict[str, float] = {}
    for m, of_split in has.items():
        if all(x.all() for x in of_split.values()):
            continue
        counts = [f"{int((~x).sum())} of {len(x)} in {split}" for split, x in of_split.items()]
        lines.append(f"recordings without {m}: {', '.join(counts)}")
        metrics |= {f"{split} share of recordings with {m}": float(x.mean()) for split, x in of_split.items()}
        first = next(iter(of_split))
        auc, p, name = _tells(of_split[first], label, classes)
        if auc == auc:
            metrics[f"{first} ROC-AUC of having {m}"] = auc
        if p < SUSPICIOUS:
            lines.append(describe_warning(m, f" {name}", auc, f" (p = {p:.1g})"))
    return lines, metrics


def describe_warning(m: str, name: str, auc: float, chance: str = "") -> str:
    """The warning that a modality's presence tells a class."""
    return (
        f"warning: having {m} alone tells{name} with ROC-AUC {auc:.2f}{chance}: a model may learn the lack instead of "
        "what is there; compare with --data.modalities of the others"
    )


def _tells(has: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> tuple[float, float, str]:
    """ROC-AUC, p (Fisher's exact test) and the class that the presence of a modality tells best."""
    from scipy.stats import fisher_exact

    best = (float("nan"), 1.0, "")
    for k, name in enumerate(classes):
        label = labels[:, k]
        auc = roc_auc(label, has.astype(float))
        if auc != auc or not has.any() or has.all():
            continue
        table = [[int((has & label).sum()), int((has & ~label).sum())]]
        table.append([int((~has & label).sum()), int((~has & ~label).sum())])
        p = float(fisher_exact(table).pvalue)
        if p < best[1] or not best[2]:
            best = (auc, p, name)
    return best
