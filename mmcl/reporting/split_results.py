"""What a run's test recordings say: each class, the worst errors, and whether scores are probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, roc_auc_score

from mmcl.evaluation.calibration import calibration
from mmcl.evaluation.events import EventRule
from mmcl.evaluation.recognition import recording_score
from mmcl.io import printable
from mmcl.media.still import still
from mmcl.reporting.page_parts import Picture, Section
from mmcl.reporting.plots import COLORS, INK, draw_scores, new_axes, png
from mmcl.reporting.run_comparison import Table
from mmcl.reporting.score_page import write_page
from mmcl.types import Recording, SnippetScores

N_ERRORS, N_DRAWN = 10, 3
ERRORS = "errors"  # folder of their pages, beside the run's


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
                f"{hits / y.sum():.2f}" if y.any() else "-",
                f"{hits / taken.sum():.2f}" if taken.any() else "-",
                f"{average_precision_score(y, x):.3f}" if both else "",
                f"{roc_auc_score(y, x):.3f}" if both else "",
            )
        )
    rule = "the class of the highest score" if multiclass else "a score of 0.5 or more"
    note = f"By whole recordings of the test split; taken for the class: {rule}."
    return Table("Each class", note, ("class", "recordings", "recall", "precision", "AP", "ROC-AUC"), rows)


@dataclass(frozen=True)
class Error:
    """A recording that is taken for what it does not show, or not for what it shows.

    Attributes:
        kind: "false alarm (CLASS)", "miss (CLASS)" or "taken for CLASS".
        recording: Of the test split.
        shows: Its classes, or "no event".
        score: Of the class.
        scores: Of the snippets.
        surety: How far the score is on the wrong side.
    """

    kind: str
    recording: Recording
    shows: str
    score: float
    scores: SnippetScores
    surety: float

    @property
    def title(self) -> str:
        """The error in one line."""
        return f"{self.kind}: {printable(self.recording.name)}"


def worst_errors(recordings: Sequence[Recording], scores: Sequence[SnippetScores], multiclass: bool) -> list[Error]:
    """Errors, the surest first: highest false alarms, and lowest misses.

    Args:
        recordings: Of the test split, with labels.
        scores: Theirs.
        multiclass: Classes exclude each other.
    """
    label, score, classes = _labels(recordings), recording_scores(scores, multiclass), scores[0].classes
    errors = []
    for i, (r, s) in enumerate(zip(recordings, scores, strict=True)):
        shows = ", ".join(c for c, y in zip(classes, label[i], strict=True) if y) or "no event"
        if multiclass:
            k = int(score[i].argmax())
            if not label[i, k]:
                errors.append(Error(f"taken for {classes[k]}", r, shows, float(score[i, k]), s, float(score[i, k])))
            continue
        for k, name in enumerate(classes):
            x = float(score[i, k])
            if (x >= 0.5) != (label[i, k] > 0):
                kind = f"false alarm ({name})" if x >= 0.5 else f"miss ({name})"
                errors.append(Error(kind, r, shows, x, s, abs(x - 0.5)))
    return sorted(errors, key=lambda e: -e.surety)


def result_sections(
    recordings: Sequence[Recording], scores: Sequence[SnippetScores], multiclass: bool, folder: Path
) -> tuple[list[Table], list[Section]]:
    """Tables and pictures for a run's page.

    Args:
        recordings: Of the test split, with labels.
        scores: Theirs.
        multiclass: Classes exclude each other.
        folder: Of the run's page; score pages of errors go into ``errors/`` below it.
    """
    errors = worst_errors(recordings, scores, multiclass)
    note = f"{len(errors)} errors in {len(recordings)} test recordings, the surest first."
    rows = [(e.kind, printable(e.recording.name), e.shows, f"{e.score:.3f}") for e in errors[:N_ERRORS]]
    tables = [Table("Errors", note, ("error", "recording", "it shows", "score"), rows)] if rows else []
    tables.append(class_table(recordings, scores, multiclass))
    sections = []
    if errors:
        missed = [e for e in errors if e.kind.startswith("miss")][:N_DRAWN]
        drawn = [e for e in errors if not e.kind.startswith("miss")][:N_DRAWN] + missed
        text = "Scores of the snippets; true events are shaded."
        sections.append(Section("Worst errors", text, [error_picture(e, folder, multiclass) for e in drawn]))
    label, score = _labels(recordings), recording_scores(scores, multiclass)
    right = np.asarray(label.argmax(1) == score.argmax(1) if multiclass else label.any(1))
    mean, share, error = calibration(right, score.max(1))
    of_score, shows = ("of the class that is taken", "show it") if multiclass else ("of an event", "hold one")
    text = (
        f"Score {of_score}: expected calibration error {error:.3f}, bins of about equally many. On the dotted line a "
        f"score is the share of such recordings that {shows}; scores learned from bags need not be."
    )
    alt = "share of recordings over the score"
    sections.append(Section("Calibration of recordings", text, [Picture(alt, _draw(mean, share))]))
    return tables, sections


def error_picture(error: Error, folder: Path, multiclass: bool = False) -> Picture:
    """The curve of a recording; of a video a frame and a page that plays it too.

    Args:
        error: What is shown.
        folder: Of the run's page.
        multiclass: Classes exclude each other.
    """
    s, media = error.scores, error.recording.media
    curve = png(draw_scores(s))
    if media is None or not media.is_file():
        return Picture(error.title, curve)
    event = next((t for t in error.recording.intervals if t.is_event), None) if error.kind.startswith("miss") else None
    top = int(s.score.max(1).argmax())
    at_s = (s.start_s[top] + s.end_s[top]) / 2 if event is None else (event.start_s + event.end_s) / 2
    frame = still(media, float(at_s)) if "visual" in s.modality_score else None
    page = write_page(
        media, s, folder / ERRORS, EventRule(), embed_mb=0.0, poster=frame, index="", multiclass=multiclass
    )
    return Picture(error.title, curve, f"{ERRORS}/{quote(page.relative_to(folder / ERRORS).as_posix())}", frame)


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
