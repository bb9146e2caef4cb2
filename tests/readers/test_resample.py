"""Resampling keeps lines, times and lengths."""

from __future__ import annotations

import numpy as np

from mmcl.data.snippet_grid import resample_to_grid
from mmcl.readers.resample import resample
from mmcl.types import Recording, SnippetGrid


def test_resample_keeps_a_line_and_the_time():
    x = np.arange(50, dtype=np.float32)[:, None] / 50
    y = resample(x, 50.0, 16.0, 16)
    np.testing.assert_allclose(y[1:-1, 0], (np.arange(16)[1:-1] + 0.5) / 16 - 0.01, atol=1e-6)


def test_stretched_recordings_all_last_the_same(rng):
    snippet_grid = SnippetGrid(0.5, 1.0, {"inertial": 16}, 4.0)
    for n in (50, 137, 400):
        x = np.linspace(0, 1, n)[:, None].repeat(6, 1).astype(np.float32)
        (grid,) = resample_to_grid(Recording("r", {"inertial": x}, {"inertial": 50.0}), snippet_grid).values()
        assert grid.shape == (128, 6)
        np.testing.assert_allclose(
            grid[:, 0], np.interp((np.arange(128) + 0.5) / 128 * n - 0.5, np.arange(n), x[:, 0]), atol=1e-6
        )
