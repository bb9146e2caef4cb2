"""XD-Violence's test set: its truth, and scores of any system in the order of its list."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcl.datasets.sources.xd_violence_files import (
    FRAMES_PER_SNIPPET,
    frame_truth,
    n_snippets,
    read_annotations,
    read_frame_counts,
    read_list,
)
from mmcl.errors import FileError, InputError
from mmcl.evaluation.frame_level import FrameTruth

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
        fault = "holds no plain array" if "pickle" in str(error) else f"not a readable .npy file ({error})"
        raise FileError(path, fault, "save one number a snippet with numpy.save") from error
    if not np.issubdtype(score.dtype, np.number) or np.iscomplexobj(score):
        raise FileError(path, f"holds {score.dtype}", "expected one number a snippet")
    score = score.astype(np.float64).reshape(-1)
    n = len(truth.positive)
    if len(score) == n * FRAMES_PER_SNIPPET:
        frames = score.reshape(n, FRAMES_PER_SNIPPET)
        if (frames != frames[:, :1]).any():
            raise FileError(path, "holds scores that change within a snippet of 16 frames", "give one score a snippet")
        score = frames[:, 0]
    if len(score) != n:
        raise FileError(
            path,
            f"holds {len(score)} scores",
            f"expected {n} (one a snippet) or {n * FRAMES_PER_SNIPPET} (one a frame), in the order of {LIST}",
        )
    if not np.isfinite(score).all():
        raise FileError(path, f"NaN or infinity at score {int(np.argmin(np.isfinite(score)))}", "repair the scores")
    return score
