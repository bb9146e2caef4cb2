"""Snippet scores of any system against frame-level truth: figures of the whole, of classes, of chance.

Each snippet's score stands for its 16 frames, which are counted, never unrolled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.data.xd_violence import (
    CLASSES,
    FRAMES_PER_SNIPPET,
    FrameTruth,
    frame_truth,
    n_snippets,
    read_annotations,
    read_frame_counts,
    read_list,
)
from mmcl.errors import FileError, InputError
from mmcl.metrics import Ranking, roc_auc

LIST, ANNOTATIONS, FRAME_COUNTS = "visual_test.list", "annotations.txt", "test_frames.csv"


def read_truth(data: Path) -> FrameTruth:
    """The test set's truth from ``visual_test.list``, ``annotations.txt`` and ``test_frames.csv``."""
    names = read_list(data / LIST)
    lengths = {name: n_snippets(n) for name, n in read_frame_counts(data / FRAME_COUNTS).items()}
    try:
        return frame_truth(names, lengths, read_annotations(data / ANNOTATIONS))
    except InputError as error:
        raise FileError(data, str(error), f"check {LIST}, {ANNOTATIONS} and {FRAME_COUNTS}") from error


def read_scores(path: Path, truth: FrameTruth) -> np.ndarray:
    """``(snippet,)`` float64 of a ``.npy`` file in the list's order, one score a snippet or a frame."""
    try:
        score = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileError(path, "no such file", "check the path") from None
    except (OSError, ValueError, EOFError) as error:
        found = "holds no plain array" if "pickle" in str(error) else f"not a readable .npy file ({error})"
        raise FileError(path, found, "save one number a snippet with numpy.save") from error
    if not np.issubdtype(score.dtype, np.number) or np.iscomplexobj(score):
        raise FileError(path, f"holds {score.dtype}", "expected one number a snippet")
    score = score.astype(np.float64).reshape(-1)
    n = len(truth.positive)
    if len(score) == n * FRAMES_PER_SNIPPET:
        frames = score.reshape(n, FRAMES_PER_SNIPPET)
        if (frames != frames[:, :1]).any():
            raise FileError(
                path, "holds scores that change within a snippet of 16 frames", "give one score a snippet"
            )
        score = frames[:, 0]
    if len(score) != n:
        raise FileError(
            path,
            f"holds {len(score)} scores",
            f"expected {n} (one a snippet) or {n * FRAMES_PER_SNIPPET} (one a frame), in the order of {LIST}",
        )
    if not np.isfinite(score).all():
        raise FileError(
            path, f"NaN or infinity at score {int(np.argmin(np.isfinite(score)))}", "repair the scores"
        )
    return score


def frame_figures(
    score: np.ndarray, truth: FrameTruth, n_bootstrap: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Figures by their true names. score: ``(snippet,)`` of all videos in the truth's order.

    The interval is the bootstrap's over *videos*, which are what was sampled; "inside the videos of a
    class" takes the videos that carry the class's code at any place. n_bootstrap 0 leaves it out.
    """
    n = len(truth.names)
    ranking = Ranking(score, truth.positive, truth.negative, truth.video)
    whole = ranking.counts(np.ones(n))
    figures = {
        "frame average precision": whole.average_precision,
        "frame trapezoid PR-AUC": whole.trapezoid_pr_auc,
        "frame ROC-AUC": whole.roc_auc,
    }
    if n_bootstrap:
        rng = np.random.default_rng(seed)
        draws = [
            ranking.counts(np.bincount(rng.integers(n, size=n), minlength=n)).average_precision
            for _ in range(n_bootstrap)
        ]
        figures["frame average precision, standard deviation over videos"] = float(np.nanstd(draws))
        for name, q in (("2.5", 2.5), ("97.5", 97.5)):
            figures[f"frame average precision, {name} % over videos"] = float(np.nanpercentile(draws, q))
    violent = np.array([bool(c) for c in truth.codes])
    inside = {"violent": violent}
    inside |= {name: np.array([c in codes for codes in truth.codes]) for c, name in CLASSES.items()}
    for name, chosen in inside.items():
        if chosen.any():
            figures[f"frame average precision inside {name} videos"] = ranking.counts(
                chosen
            ).average_precision
    for c, name in CLASSES.items():
        # this class's frames against those of videos without violence
        chosen = np.array([c in codes or not codes for codes in truth.codes])
        if inside[name].any():
            against = ranking.counts(chosen).average_precision
            figures[f"frame average precision of {name} against normal videos"] = against
    starts = np.append(0, truth.n_snippets.cumsum()[:-1])
    figures["video ROC-AUC of the highest score"] = roc_auc(violent, np.maximum.reduceat(score, starts))
    figures["share of positive frames"] = float(truth.positive.sum() / (FRAMES_PER_SNIPPET * len(score)))
    return figures
