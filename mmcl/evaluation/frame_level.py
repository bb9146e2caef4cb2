"""Snippet scores of any system against frame-level truth: of all videos, of each class, and against chance.

A snippet's score stands for its 16 frames, which are counted, never unrolled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmcl.evaluation.calibration import calibration_error
from mmcl.evaluation.event_level import event_metrics
from mmcl.evaluation.metrics import Ranking, roc_auc


@dataclass(frozen=True)
class FrameTruth:
    """The truth of a list of videos, snippet after snippet, without a row a frame.

    Attributes:
        names: The videos, in order.
        n_snippets: ``(video,)``.
        positive: ``(snippet of all videos,)``, annotated frames of each snippet.
        codes: Codes of the classes that each video shows; empty = normal.
        frames_per_snippet: Frames that a snippet stands for.
        frames_per_s: Frames a second.

    Example:
        >>> truth = FrameTruth(("a", "b"), np.array([2, 1]), np.array([16, 0, 4]), (("B1",), ("G",)))
        >>> truth.video.tolist(), truth.negative.tolist()
        ([0, 0, 1], [0, 16, 12])
    """

    names: tuple[str, ...]
    n_snippets: np.ndarray
    positive: np.ndarray
    codes: tuple[tuple[str, ...], ...]
    frames_per_snippet: int = 16
    frames_per_s: float = 24.0

    @property
    def video(self) -> np.ndarray:
        """``(snippet,)``: the number of the video that each snippet belongs to."""
        return np.repeat(np.arange(len(self.names)), self.n_snippets)

    @property
    def negative(self) -> np.ndarray:
        """``(snippet,)``: frames of each snippet that are not annotated."""
        return self.frames_per_snippet - self.positive


def frame_metrics(
    score: np.ndarray,
    truth: FrameTruth,
    classes: Mapping[str, str],
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Frame-level metrics by name.

    The interval is the bootstrap's over *videos*, which are what was sampled; "inside the videos of a class" takes the
    videos that carry the class's code at any place.

    Args:
        score: ``(snippet,)`` of all videos in the truth's order.
        truth: The truth.
        classes: ``{code: name}``.
        n_bootstrap: Resamplings of the videos, 0 = no interval.
        seed: Of the resampling.

    Example:
        >>> truth = FrameTruth(("a", "b"), np.array([2, 1]), np.array([16, 0, 0]), (("B1",), ()))
        >>> metrics = frame_metrics(np.array([0.9, 0.1, 0.2]), truth, {"B1": "fighting"}, 0)
        >>> metrics["frame average precision"]
        1.0
    """
    n = len(truth.names)
    ranking = Ranking(score, truth.positive, truth.negative, truth.video)
    all_videos = ranking.counts(np.ones(n))
    metrics = {
        "frame average precision": all_videos.average_precision,
        "frame trapezoid PR-AUC": all_videos.trapezoid_pr_auc,
        "frame ROC-AUC": all_videos.roc_auc,
        "frame calibration error": calibration_error(truth.positive / truth.frames_per_snippet, score),
    }
    if n_bootstrap:
        rng = np.random.default_rng(seed)
        drawn = [
            ranking.average_precision(np.bincount(rng.integers(n, size=n), minlength=n)) for _ in range(n_bootstrap)
        ]
        metrics["frame average precision, standard deviation over videos"] = float(np.nanstd(drawn))
        for name, q in (("2.5", 2.5), ("97.5", 97.5)):
            metrics[f"frame average precision, {name} % over videos"] = float(np.nanpercentile(drawn, q))
    positive = np.array([bool(c) for c in truth.codes])
    inside = {"violent": positive}
    inside |= {name: np.array([c in codes for codes in truth.codes]) for c, name in classes.items()}
    for name, chosen in inside.items():
        if chosen.any():
            counts = ranking.counts(chosen)
            metrics[f"frame average precision inside {name} videos"] = counts.average_precision
    for c, name in classes.items():
        # this class's frames against those of normal videos
        chosen = np.array([c in codes or not codes for codes in truth.codes])
        if inside[name].any():
            counts = ranking.counts(chosen)
            metrics[f"frame average precision of {name} against normal videos"] = counts.average_precision
    starts = np.append(0, truth.n_snippets.cumsum()[:-1])
    metrics["video ROC-AUC of the highest score"] = roc_auc(positive, np.maximum.reduceat(score, starts))
    n_frames = truth.frames_per_snippet * len(score)
    is_event = truth.positive >= truth.frames_per_snippet / 2
    hop_s = truth.frames_per_snippet / truth.frames_per_s
    metrics |= event_metrics(score, is_event, truth.n_snippets.tolist(), hop_s)
    metrics["share of positive frames"] = float(truth.positive.sum() / n_frames)
    return metrics
