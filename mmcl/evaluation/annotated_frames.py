"""Annotated frames and rows of features, which have strides of their own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mmcl.errors import InputError


def event_frames(intervals: Iterable[tuple[int, int]], n: int, frames_per_row: int = 16) -> np.ndarray:
    """How many frames of each snippet are annotated.

    Args:
        intervals: May overlap, and are cut where the features end.
        n: Snippets.
        frames_per_row: Frames that a snippet stands for.

    Returns:
        ``(snippet,)`` int, 0 to ``frames_per_row``.

    Example:
        >>> event_frames([(8, 40)], 3).tolist()
        [8, 16, 8]
    """
    edges = np.arange(n + 1) * frames_per_row
    before = np.zeros(n + 1, np.int64)  # annotated frames before each edge
    covered_to = 0
    for start, end in sorted(intervals):
        start = max(start, covered_to)
        if end > start:
            before += np.clip(edges, start, end) - start
            covered_to = end
    return np.diff(before)


def check_annotation_fits(name: str, intervals: Iterable[tuple[int, int]], n_rows: int, frames_per_row: int) -> None:
    """Annotated events begin within the features, and end at most a tenth of their length behind them.

    Args:
        name: Of the video.
        intervals: Event frames.
        n_rows: Rows of its features.
        frames_per_row: Frames that a row stands for.

    Raises:
        InputError: They do not: the features have another stride.
    """
    n_frames = n_rows * frames_per_row
    for start, end in intervals:
        if start >= n_frames or end > 1.1 * n_frames + frames_per_row:
            raise InputError(
                f"{name}: an event is annotated from frame {start} to {end}, but its {n_rows} rows of {frames_per_row} "
                f"frames end at {n_frames}; is a row of about {round(end / n_rows)} frames or more? "
                "--data.frames-per-row"
            )
