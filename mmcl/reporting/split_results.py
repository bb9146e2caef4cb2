"""What a run's test recordings say: each class, the worst errors, and whether scores are probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, roc_auc_score

from mmcl.evaluation.recognition import recording_score
from mmcl.io import printable
from mmcl.reporting.plots import COLORS, INK, draw_scores, new_axes, png
from mmcl.reporting.run_comparison import Table
from mmcl.types import Recording, SnippetScores

N_ERRORS, N_DRAWN, N_BINS = 10, 3, 10


def recording_scores(scores: Sequence[SnippetScores], multiclass: bool) -> np.ndarray:
    """``(recording, class)``, as ``mmcl score`` gives recordings.

    Args:
        scores: Of the recordings.
        multiclass: Classes exclude each other.
    """
    return np.stack([recording_score(s, multiclass) for s in scores])


def class_table(recordings: Sequence[Recording], scores: Sequence[SnippetScores], multiclass: bool) -> Table:
    """How well each class is told from the others, by recordings.

    Args:
        recordings: Of the test split, with labels.
        scores: Theirs.
        multiclass: Classes exclude each other.
    """
    label, score = _labels(recordings), recording_scores(scores, multiclass)
    is_taken = score == score.max(1, keepdims=True) if multiclass else score >= 0.5
    rows = []
    for k, name in enumerate(scores[0].classes):
        y, x, taken = label[:, k] > 0, score[:, k], is_taken[:, k]
        hits, both = int((taken & y).sum()), 0 < y.sum() < len(y)
        rows.append(
            (
                name,
                str(int(y.sum())),
                f"{hits / y.sum():.2f}" if y.any() else "",
                f"{hits / taken.sum():.2f}" if taken.any() else "",
                f"{average_precision_score(y, x):.3f}" if both else "",
                f"{roc_auc_score(y, x):.3f}" if both else "",
            )
        )
    rule = "the class of the highest score" if multiclass else "a score of 0.5 or more"
    note = f"By whole recordings of the test split; taken for the class: {rule}."
    return Table("Each class", note, ("class", "recordings", "recall", "precision", "AP", "ROC-AUC"), rows)


def worst_errors(
    recordings: Sequence[Recording], scores: Sequence[SnippetScores], multiclass: bool
) -> list[tuple[str, str, str, float, SnippetScores]]:
    """(kind, recording, what it is, score, scores) of the worst errors: highest false alarms, and lowest misses.

    Args:
        recordings: Of the test split, with labels.
        scores: Theirs.
        multiclass: Classes exclude each other.
    """
    label, score, classes = _labels(recordings), recording_scores(scores, multiclass), scores[0].classes
    errors = []
    for i, (r, s) in enumerate(zip(recordings, scores, strict=True)):
        true = ", ".join(c for c, y in zip(classes, label[i], strict=True) if y) or "no event"
        if multiclass:
            k = int(score[i].argmax())
            if not label[i, k]:
                errors.append((f"taken for {classes[k]}", r.name, true, float(score[i, k]), s, float(score[i, k])))
            continue
        for k, name in enumerate(classes):
            x = float(score[i, k])
            if (x >= 0.5) != (label[i, k] > 0):
                kind = f"false alarm ({name})" if x >= 0.5 else f"miss ({name})"
                errors.append((kind, r.name, true, x, s, abs(x - 0.5)))
    errors.sort(key=lambda e: -e[5])
    return [(kind, name, true, x, s) for kind, name, true, x, s, _ in errors]


def calibration(label: np.ndarray, score: np.ndarray, n_bins: int = N_BINS) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean score and share of the class in bins of equally many recordings, and the expected calibration error.

    Args:
        label: ``(recording,)`` of 0 and 1.
        score: ``(recording,)``.
        n_bins: Bins.

    Example:
        >>> mean, share, error = calibration(np.array([0, 1, 0, 1]), np.array([0.1, 0.1, 0.9, 0.9]), 2)
        >>> share.tolist(), round(error, 2)
        ([0.5, 0.5], 0.4)
    """
    order = np.argsort(score, kind="stable")
    parts = [p for p in np.array_split(order, n_bins) if len(p)]
    mean, share = (np.array([v[p].mean() for p in parts]) for v in (score, label))
    weight = np.array([len(p) for p in parts]) / len(score)
    return mean, share, float((weight * np.abs(mean - share)).sum())


def result_sections(
    recordings: Sequence[Recording], scores: Sequence[SnippetScores], multiclass: bool
) -> tuple[list[Table], list[tuple[str, str, list[tuple[str, bytes]]]]]:
    """Tables, and sections of pictures (title, note, images), for a run's page.

    Args:
        recordings: Of the test split, with labels.
        scores: Theirs.
        multiclass: Classes exclude each other.
    """
    errors = worst_errors(recordings, scores, multiclass)
    note = f"{len(errors)} errors in {len(recordings)} test recordings, the surest first."
    rows = [(kind, printable(name), true, f"{x:.3f}") for kind, name, true, x, _ in errors[:N_ERRORS]]
    tables = [Table("Errors", note, ("error", "recording", "it shows", "score"), rows)] if rows else []
    tables.append(class_table(recordings, scores, multiclass))
    pictures = []
    if errors:
        images = [(f"{kind}: {name}", png(draw_scores(s))) for kind, name, _, _, s in errors[:N_DRAWN]]
        pictures.append(("Worst errors", "Scores of the snippets; true events are shaded.", images))
    label, score = _labels(recordings).ravel(), recording_scores(scores, multiclass).ravel()
    mean, share, error = calibration(label, score)
    text = (
        f"Expected calibration error {error:.3f}, bins of equally many. On the dotted line a score is the share of "
        "such recordings that show the class; scores learned from bags need not be."
    )
    pictures.append(("Calibration of recordings", text, [("share of the class over the score", _draw(mean, share))]))
    return tables, pictures


def _draw(mean: np.ndarray, share: np.ndarray) -> bytes:
    figure = Figure(figsize=(4, 3.6), layout="constrained")
    axes = new_axes(figure, (1, 1, 1))
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=":")
    axes.plot(mean, share, color=COLORS[0], marker="o", linewidth=1.4)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("mean score", fontsize=9, color=INK)
    axes.set_ylabel("share that shows the class", fontsize=9, color=INK)
    return png(figure)


def _labels(recordings: Sequence[Recording]) -> np.ndarray:
    return np.stack([np.asarray(r.label, np.float32) for r in recordings])
