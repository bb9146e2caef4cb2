"""Which snippets are events, from annotated intervals."""

from __future__ import annotations

import numpy as np

from mmcl.types import Recording, SnippetGrid


def snippet_truth(recording: Recording, grid: SnippetGrid, n_snippets: int) -> np.ndarray:
    """Events cover at least half of the snippet's window; what several cover at once counts once.

    Args:
        recording: With its true intervals.
        grid: How it is cut into snippets.
        n_snippets: Of the recording.

    Returns:
        ``(snippet,)`` bool.

    Example:
        >>> from mmcl.types import Interval
        >>> r = Recording("r", {}, {}, intervals=(Interval(1.0, 2.0, "fall"),))
        >>> snippet_truth(r, SnippetGrid(0.5, 1.0, {}), 4).tolist()
        [False, True, True, True]
    """
    start = np.arange(n_snippets) * grid.hop_s
    covered, covered_to_s = np.zeros(n_snippets), -np.inf
    for interval in sorted((i for i in recording.intervals if i.is_event), key=lambda i: i.start_s):
        begin_s, covered_to_s = max(interval.start_s, covered_to_s), max(interval.end_s, covered_to_s)
        overlap = np.minimum(start + grid.window_s, interval.end_s) - np.maximum(start, begin_s)
        covered += np.clip(overlap, 0, None)
    return covered >= grid.window_s / 2
