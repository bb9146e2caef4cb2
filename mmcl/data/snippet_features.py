"""A row of numbers a snippet, for linear models: features as they are, raw samples by their mean and spread."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmcl.data.augmentation import n_hops_of
from mmcl.data.collate import require_finite
from mmcl.data.snippet_grid import resample_to_grid
from mmcl.types import Recording, SnippetGrid


def snippet_features(recording: Recording, grid: SnippetGrid) -> Mapping[str, np.ndarray]:
    """Rows of a recording's snippets.

    Args:
        recording: Its signals may lack some of the grid's modalities.
        grid: How it is cut into snippets.

    Returns:
        ``{modality: (snippet, dim)}`` float32: of features the mean over the snippet's hops, of other kinds mean and
        standard deviation of every channel over the snippet's samples.

    Example:
        >>> grid = SnippetGrid(0.5, 1.0, {"wrist": 16})
        >>> recording = Recording("r", {"wrist": np.zeros((100, 6), np.float32)}, {"wrist": 50.0})
        >>> snippet_features(recording, grid)["wrist"].shape
        (3, 12)
    """
    signals = require_finite(resample_to_grid(recording, grid), recording.name)
    n = grid.n_snippets(n_hops_of(signals, grid))
    rows = {}
    for m, x in signals.items():
        per_hop = grid.frames_per_hop[m]
        flat = x.reshape(len(x), -1).astype(np.float64)
        starts = np.arange(n) * per_hop
        ends = np.minimum(starts + grid.hops_per_window * per_hop, len(x))
        width = (ends - starts)[:, None]
        mean = _window_sums(flat, starts, ends) / width
        if grid.kind(m) == "features":
            rows[m] = mean.astype(np.float32)
            continue
        square = _window_sums(flat**2, starts, ends) / width
        rows[m] = np.concatenate([mean, np.sqrt(np.maximum(square - mean**2, 0))], 1).astype(np.float32)
    return rows


def _window_sums(x: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    total = np.concatenate([np.zeros((1, x.shape[1])), x.cumsum(0)])
    return total[ends] - total[starts]
